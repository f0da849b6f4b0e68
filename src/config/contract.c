/*
 * contract.c
 *	  Contracts: what a handler's payloads must be.  A contract is a payload type,
 *	  required and optional fields, and a validator.
 *
 * The payload type and the validator can be dropped or changed, and privileges on
 * them can be revoked, at any time.  Callers must therefore call ContractRefusal()
 * before they use them.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/injection_point.h"
#include "config/contract.h"
#include "config/fields.h"
#include "config/resolve.h"
#include "config/roles.h"
#include "store/object_owner.h"

bool
ContractExists(const TaskqContract *contract)
{
	return contract->payload_type != NULL || contract->validator != NULL ||
		   contract->required_fields != NULL || contract->optional_fields != NULL;
}

/* Does a check of the contract run code of users? */
bool
ContractHasCode(const TaskqContract *contract)
{
	return contract->payload_type != NULL || contract->validator != NULL;
}

/* types and functions that will do ------------------------------------------ */

/* Return why a type cannot be a payload type, or NULL if it can. */
static const char *
TypeRefusal(Oid type)
{
	HeapTuple	 tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Form_pg_type form;
	const char	*refusal = NULL;

	if (!HeapTupleIsValid(tuple))
		return "It does not exist.";
	form = (Form_pg_type) GETSTRUCT(tuple);
	if (form->typtype != TYPTYPE_COMPOSITE && form->typtype != TYPTYPE_DOMAIN)
		refusal = "It is neither a composite type nor a domain.";
	else if (isAnyTempNamespace(form->typnamespace))
		refusal = "It is temporary, so no other session sees it.";
	ReleaseSysCache(tuple);
	return refusal;
}

/* Return why a function cannot be a validator, or NULL if it can. */
static const char *
ValidatorRefusal(Oid function)
{
	Oid			arg = JSONBOID;
	Oid			answer;
	const char *refusal = FunctionRefusal(function, 1, &arg, &answer);

	if (refusal != NULL)
		return refusal;
	return answer == BOOLOID || answer == TEXTOID ? NULL : "It returns neither boolean nor text.";
}

/* register ----------------------------------------------------------------- */

static void
ReadType(FunctionCallInfo fcinfo, int n, TaskqContract *contract)
{
	Oid			type = PG_GETARG_OID(n);
	const char *refusal;

	if (!HoldObject(TypeRelationId, type))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("payload type with OID %u does not exist", type)));
	refusal = TypeRefusal(type);
	if (refusal != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("type %s cannot be a payload type", format_type_be(type)),
				 errdetail("%s", refusal),
				 errhint("Use a composite type, whose attributes are the payload's members, or a domain over one, over jsonb or over any other type.")));
	contract->payload_type = QualifiedTypeName(type);
	contract->payload_type_oid = type;
	contract->payload_type_owner = TypeOwner(type);
}

static void
ReadValidator(FunctionCallInfo fcinfo, int n, TaskqContract *contract)
{
	Oid			function = PG_GETARG_OID(n);
	const char *refusal;

	CheckFunctionExists(function, "validator");
	refusal = ValidatorRefusal(function);
	if (refusal != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function %s cannot be a validator", format_procedure(function)),
				 errdetail("%s", refusal),
				 errhint("A validator is a function f(payload jsonb) that returns boolean, true for a valid payload, or text, NULL for a valid one and else what is wrong with it.")));
	contract->validator = format_procedure_qualified(function);
	contract->validator_oid = function;
	contract->validator_owner = FunctionOwner(function);
}

/* Read the arguments payload_type, required_fields, optional_fields and validator. */
void
ContractRead(FunctionCallInfo fcinfo, int first, TaskqContract *contract)
{
	memset(contract, 0, sizeof(*contract));
	if (!PG_ARGISNULL(first))
		ReadType(fcinfo, first, contract);
	if (!PG_ARGISNULL(first + 1))
		contract->required_fields = ArgJson(fcinfo, first + 1, "required_fields");
	if (!PG_ARGISNULL(first + 2))
		contract->optional_fields = ArgJson(fcinfo, first + 2, "optional_fields");
	FieldsCheckDeclared(contract->required_fields, contract->optional_fields);
	if (!PG_ARGISNULL(first + 3))
		ReadValidator(fcinfo, first + 3, contract);
}

/*
 * Check that both the caller and the role, as which the code will run, may use the
 * payload type and the validator.
 */
void
ContractCheck(const TaskqContract *contract, Oid role)
{
	Oid users[] = { GetUserId(), role };

	if (!ContractHasCode(contract))
		return;
	RoleRefuseSuperuser(role);
	for (int i = 0; i < lengthof(users); i++)
	{
		char *user = RoleNameOrOid(users[i]);

		if (contract->payload_type != NULL && !MayUseType_compat(contract->payload_type_oid, users[i]))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("role \"%s\" may not use type %s", user, contract->payload_type),
					 errhint("Run GRANT USAGE ON TYPE %s TO %s.", contract->payload_type, quote_identifier(user))));
		if (contract->validator != NULL)
			RoleCheckExecute(users[i], contract->validator_oid);
	}
}

/* later -------------------------------------------------------------------- */

/* Find the payload type as it is now.  Returns NULL, or why it cannot be used. */
static const char *
PayloadTypeRefusal(TaskqContract *contract, Oid role, Oid registrar)
{
	StoredName stored = { contract->payload_type, contract->payload_type_oid, contract->payload_type_owner, role, registrar };
	char	  *name = NULL;
	bool	   others;

	contract->payload_type_oid = ResolveType(&stored, &others);
	if (others)
		return psprintf("unresolved: owner changed of payload type %s", contract->payload_type);
	TASKQ_INJECTION_POINT("type-found");
	if (OidIsValid(contract->payload_type_oid))
		name = QualifiedTypeName(contract->payload_type_oid);
	if (name == NULL)
	{
		contract->payload_type_oid = InvalidOid;
		return psprintf("unresolved: payload type %s does not exist", contract->payload_type);
	}
	contract->payload_type = name;
	if (TypeRefusal(contract->payload_type_oid) != NULL)
		return psprintf("unresolved: type %s is not a payload type any more", contract->payload_type);
	if (!MayUseType_compat(contract->payload_type_oid, role))
		return psprintf("unrunnable: its role may not use type %s", contract->payload_type);
	return NULL;
}

/* Find the validator as it is now.  Returns NULL, or why it cannot be used. */
static const char *
ValidatorRefusalNow(TaskqContract *contract, Oid role, Oid registrar)
{
	StoredName stored = { contract->validator, contract->validator_oid, contract->validator_owner, role, registrar };
	Oid		   arg = JSONBOID;
	bool	   others;

	contract->validator_oid = ResolveFunction(&stored, 1, &arg, &others);
	if (others)
		return psprintf("unresolved: owner changed of validator %s", contract->validator);
	if (!OidIsValid(contract->validator_oid))
		return psprintf("unresolved: validator %s does not exist", contract->validator);
	contract->validator = format_procedure_qualified(contract->validator_oid);
	if (ValidatorRefusal(contract->validator_oid) != NULL)
		return psprintf("unresolved: function %s is not a validator any more", contract->validator);
	if (!MayExecute_compat(contract->validator_oid, role))
		return psprintf("unrunnable: its role may not execute function %s", contract->validator);
	return NULL;
}

/*
 * Find the payload type and the validator as they are now.  Returns NULL, or why
 * payloads cannot be checked.  The names of renamed objects are updated in the
 * contract.
 */
const char *
ContractRefusal(TaskqContract *contract, Oid role, Oid registrar)
{
	const char *refusal;

	if (!ContractHasCode(contract))
		return NULL;
	refusal = RoleCodeRefusal(role);
	if (refusal != NULL)
		return psprintf("unrunnable: %s", refusal);
	if (contract->payload_type != NULL)
		refusal = PayloadTypeRefusal(contract, role, registrar);
	if (refusal == NULL && contract->validator != NULL)
		refusal = ValidatorRefusalNow(contract, role, registrar);
	return refusal;
}

static void
ReleaseObjects(Oid type, Oid validator)
{
	if (OidIsValid(type))
		ReleaseObject(TypeRelationId, type);
	if (OidIsValid(validator))
		ReleaseObject(ProcedureRelationId, validator);
}

/*
 * Like ContractRefusal(), but also lock the payload type and the validator until
 * ContractRelease(), so that nobody drops them while they are in use.  The objects
 * of the recorded OIDs are locked before the names are looked up.  Mostly the
 * look-up finds the same objects, and then one look-up is enough.
 */
const char *
ContractHold(TaskqContract *contract, Oid role, Oid registrar)
{
	for (;;)
	{
		Oid			type = contract->payload_type != NULL ? contract->payload_type_oid : InvalidOid;
		Oid			validator = contract->validator != NULL ? contract->validator_oid : InvalidOid;
		const char *refusal;

		if (OidIsValid(type))
			(void) HoldObject(TypeRelationId, type);
		if (OidIsValid(validator))
			(void) HoldObject(ProcedureRelationId, validator);

		/* nobody can change the objects now */
		refusal = ContractRefusal(contract, role, registrar);
		if (refusal == NULL && (contract->payload_type == NULL || type == contract->payload_type_oid) &&
			(contract->validator == NULL || validator == contract->validator_oid))
			return NULL;
		ReleaseObjects(type, validator);
		if (refusal != NULL)
			return refusal;
	}
}

void
ContractRelease(const TaskqContract *contract)
{
	ReleaseObjects(contract->payload_type != NULL ? contract->payload_type_oid : InvalidOid,
				   contract->validator != NULL ? contract->validator_oid : InvalidOid);
}
