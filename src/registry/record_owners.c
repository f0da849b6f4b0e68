/*
 * record_owners.c
 *	  Update the OIDs and owners of functions and types that the registry has stored:
 *	  the OIDs when a database is adopted, the owners where they are missing.
 *
 * The OIDs in a restored database are those of its source, and may belong to other
 * objects here.  Owners are missing in registrations that were made before owners
 * were recorded; then the object's current owner is recorded.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "config/contract.h"
#include "config/handler.h"
#include "config/resolve.h"
#include "registry/record_owners.h"
#include "registry/retry_function.h"
#include "store/catalog.h"
#include "store/object_owner.h"
#include "store/owner.h"

#define NAMES 4 /* names of functions and types that a handler can have */

static bool
IsMissing(const char *name, Oid owner)
{
	return name != NULL && !OidIsValid(owner);
}

static bool
MissesOwner(const TaskqHandler *handler)
{
	const TaskqContract *contract = handler->contract;

	return IsMissing(handler->signature, handler->function_owner) ||
		   IsMissing(handler->retry_function, handler->retry_function_owner) ||
		   (contract != NULL && (IsMissing(contract->payload_type, contract->payload_type_owner) ||
								 IsMissing(contract->validator, contract->validator_owner)));
}

static void
Set(Datum *values, char *nulls, int i, Oid oid, Oid owner)
{
	values[1 + i] = ObjectIdGetDatum(oid);
	nulls[1 + i] = OidIsValid(oid) ? ' ' : 'n';
	values[1 + NAMES + i] = ObjectIdGetDatum(owner);
	nulls[1 + NAMES + i] = OidIsValid(owner) ? ' ' : 'n';
}

/*
 * Update the row of one handler.  With "oids", ignore the stored OIDs and find the
 * objects by name.  The caller is the extension's owner and connected to SPI.
 */
static void
Record(const TaskqHandler *handler, bool oids)
{
	Oid			  types[1 + 2 * NAMES] = { TEXTOID, OIDOID, OIDOID, OIDOID, OIDOID,
										   REGROLEOID, REGROLEOID, REGROLEOID, REGROLEOID };
	Datum		  values[1 + 2 * NAMES] = { CStringGetTextDatum(handler->task_type) };
	char		  nulls[] = "         ";
	TaskqContract contract = { 0 };
	StoredName	  retry = HandlerRetryFunction(handler);

	if (handler->contract != NULL)
		contract = *handler->contract;
	if (oids)
		contract.payload_type_oid = contract.validator_oid = retry.oid = InvalidOid;
	/* These calls find the OIDs.  Whether the objects can be used does not matter here. */
	(void) ContractRefusal(&contract, HandlerRole(handler), handler->registered_by);
	if (retry.name != NULL)
		(void) RetryFunctionRefusal(&retry);
	Set(values, nulls, 0, handler->function, FunctionOwner(handler->function));
	Set(values, nulls, 1, contract.payload_type_oid, TypeOwner(contract.payload_type_oid));
	Set(values, nulls, 2, contract.validator_oid, FunctionOwner(contract.validator_oid));
	Set(values, nulls, 3, retry.oid, FunctionOwner(retry.oid));
	OwnerExecute("UPDATE taskq.handlers SET function_oid = $2, payload_type_oid = $3,"
				 " validator_oid = $4, retry_function_oid = $5,"
				 " function_owner = COALESCE(function_owner, $6), payload_type_owner = COALESCE(payload_type_owner, $7),"
				 " validator_owner = COALESCE(validator_owner, $8), retry_function_owner = COALESCE(retry_function_owner, $9)"
				 " WHERE task_type = $1",
				 1 + 2 * NAMES, types, values, nulls);
}

/* Record the owners that are missing or, with "oids", find all OIDs of all handlers anew. */
void
RecordOwners(bool oids)
{
	int			   n;
	TaskqHandler **sorted = HandlersSorted(&n);
	bool		   any = false;
	OwnerScope	   scope;

	for (int i = 0; i < n && !any; i++)
		any = oids || MissesOwner(sorted[i]);
	if (!any)
		return;
	OwnerEnterSpi(&scope);
	for (int i = 0; i < n; i++)
		if (oids || MissesOwner(sorted[i]))
			Record(sorted[i], oids);
	OwnerLeaveSpi(&scope);
	CatalogChanged(REL_HANDLERS);
}
