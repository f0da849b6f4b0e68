/*
 * record_owners.c
 *	  Update the OIDs and owners of functions and types that the registry has stored.
 *
 * The OIDs in a restored database are those of its source, and may belong to other
 * objects here; they are found by name when the database is adopted.  Owners are
 * missing in registrations that were made before owners were recorded; then the
 * object's current owner is recorded.
 *
 * An object that was dropped and made anew has another OID.  It is found by the
 * registered name.  Its new OID is recorded, so that the object is also found when
 * it is renamed or moved later.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "config/changes.h"
#include "config/contract.h"
#include "config/handler.h"
#include "config/resolve.h"
#include "registry/record_owners.h"
#include "registry/retry_function.h"
#include "store/catalog.h"
#include "store/object_owner.h"
#include "store/owner.h"

#define MAX_LOOKED_AT 5000 /* handlers per transaction */
#define MAX_RECORDED 100   /* of these, handlers that are written */

/* The names that a handler can have stored. */
typedef enum NameKind
{
	NAME_FUNCTION,
	NAME_PAYLOAD_TYPE,
	NAME_VALIDATOR,
	NAME_RETRY_FUNCTION
} NameKind;

#define NAMES (NAME_RETRY_FUNCTION + 1)

/* What a row stores about a name, and the object that is found by it. */
typedef struct NameState
{
	const char *name; /* NULL: the handler has none */
	Oid			owner;
	Oid			recorded;
	Oid			found; /* InvalidOid: nothing, or nothing that may be used */
} NameState;

/* Read what a row says; nothing is found yet. */
static void
ReadNames(const TaskqHandler *handler, NameState *names)
{
	TaskqContract contract = { 0 };

	if (handler->contract != NULL)
		contract = *handler->contract;
	names[NAME_FUNCTION] = (NameState){ handler->signature, handler->function_owner, handler->function_recorded };
	names[NAME_PAYLOAD_TYPE] = (NameState){ contract.payload_type, contract.payload_type_owner, contract.payload_type_oid };
	names[NAME_VALIDATOR] = (NameState){ contract.validator, contract.validator_owner, contract.validator_oid };
	names[NAME_RETRY_FUNCTION] = (NameState){ handler->retry_function, handler->retry_function_owner, handler->retry_function_oid };
}

/*
 * Find each object by its name and, with "use_oids", by its recorded OID as well.
 * Whether the object can be used as it is now does not matter here.
 */
static void
FindNames(const TaskqHandler *handler, NameState *names, bool use_oids)
{
	TaskqContract contract = { 0 };
	StoredName	  retry = HandlerRetryFunction(handler);

	if (handler->contract != NULL)
		contract = *handler->contract;
	if (!use_oids)
		contract.payload_type_oid = contract.validator_oid = retry.oid = InvalidOid;
	(void) ContractRefusal(&contract, HandlerRole(handler), handler->registered_by);
	if (retry.name != NULL)
		(void) RetryFunctionRefusal(&retry);
	names[NAME_FUNCTION].found = handler->function;
	names[NAME_PAYLOAD_TYPE].found = contract.payload_type_oid;
	names[NAME_VALIDATOR].found = contract.validator_oid;
	names[NAME_RETRY_FUNCTION].found = retry.oid;
}

/* Is the owner missing, or has the object been made anew? */
static bool
IsOutdated(const NameState *state)
{
	return state->name != NULL && OidIsValid(state->found) &&
		   (!OidIsValid(state->owner) || state->found != state->recorded);
}

static bool
AnyIsOutdated(const NameState *names)
{
	for (int i = 0; i < NAMES; i++)
		if (IsOutdated(&names[i]))
			return true;
	return false;
}

static Oid
OwnerOf(NameKind kind, Oid object)
{
	return kind == NAME_PAYLOAD_TYPE ? TypeOwner(object) : FunctionOwner(object);
}

static void
SetOid(Datum *values, char *nulls, int i, Oid oid)
{
	values[i] = ObjectIdGetDatum(oid);
	nulls[i] = OidIsValid(oid) ? ' ' : 'n';
}

/*
 * Write what was found for one handler, unless it has been registered anew
 * meanwhile.  The caller is the owner, in SPI.
 */
static void
Record(const TaskqHandler *handler, const NameState *names)
{
	Oid	  types[2 + 2 * NAMES] = { TEXTOID, TIMESTAMPTZOID, OIDOID, OIDOID, OIDOID, OIDOID,
								   REGROLEOID, REGROLEOID, REGROLEOID, REGROLEOID };
	Datum values[2 + 2 * NAMES] = { CStringGetTextDatum(handler->task_type), TimestampTzGetDatum(handler->registered_at) };
	char  nulls[] = "          ";

	AssertOwner();
	StaticAssertStmt(sizeof(nulls) == 2 + 2 * NAMES + 1, "one mark an argument");
	for (int i = 0; i < NAMES; i++)
	{
		SetOid(values, nulls, 2 + i, names[i].found);
		SetOid(values, nulls, 2 + NAMES + i, OwnerOf(i, names[i].found));
	}
	OwnerExecute("UPDATE taskq.handlers SET function_oid = $3, payload_type_oid = $4,"
				 " validator_oid = $5, retry_function_oid = $6,"
				 " function_owner = COALESCE(function_owner, $7), payload_type_owner = COALESCE(payload_type_owner, $8),"
				 " validator_owner = COALESCE(validator_owner, $9), retry_function_owner = COALESCE(retry_function_owner, $10)"
				 " WHERE task_type = (SELECT h.task_type FROM taskq.handlers h"
				 " WHERE h.task_type = $1 AND h.registered_at = $2 FOR UPDATE SKIP LOCKED)",
				 2 + 2 * NAMES, types, values, nulls);
}

/* If no object is found, keep the recorded OID, because the object may get a trusted owner again. */
static void
KeepWhatIsNotFound(NameState *names)
{
	for (int i = 0; i < NAMES; i++)
		if (!OidIsValid(names[i].found))
			names[i].found = names[i].recorded;
}

/* Write the rows of these handlers. */
static void
RecordAll(const TaskqHandler **handlers, NameState (*names)[NAMES], int n)
{
	OwnerScope scope;

	if (n == 0)
		return;
	OwnerEnterSpi(&scope);
	for (int i = 0; i < n; i++)
	{
		Record(handlers[i], names[i]);
		ConfigNameChanged(REL_HANDLERS, handlers[i]->task_type);
	}
	OwnerLeaveSpi(&scope);
}

/*
 * Record what is missing or outdated for some handlers, in the order of their task
 * types and beginning after the type "after".  A handler whose row another
 * transaction has locked is left to the next time.  Returns true if there are more
 * handlers, and sets "after" to the last one that was examined.
 */
bool
RecordOwners(char *after)
{
	int					 n;
	const TaskqHandler **sorted = HandlersSorted(&n);
	int					 n_outdated = 0;
	const TaskqHandler	*outdated[MAX_RECORDED];
	NameState			 names[MAX_RECORDED][NAMES];
	int					 i = 0;

	while (i < n && strcmp(sorted[i]->task_type, after) <= 0)
		i++;
	for (int looked_at = 0; i < n && looked_at < MAX_LOOKED_AT && n_outdated < MAX_RECORDED; i++, looked_at++)
	{
		NameState *of_handler = names[n_outdated];

		ReadNames(sorted[i], of_handler);
		FindNames(sorted[i], of_handler, true);
		strlcpy(after, sorted[i]->task_type, TASKQ_NAME_MAX + 1);
		if (!AnyIsOutdated(of_handler))
			continue;
		KeepWhatIsNotFound(of_handler);
		outdated[n_outdated++] = sorted[i];
	}
	RecordAll(outdated, names, n_outdated);
	return i < n;
}

/*
 * Record what is found by name for all handlers, in the caller's transaction, which
 * adopts the database.  The recorded OIDs are not used.
 */
void
RecordOwnersAnew(void)
{
	int					 n;
	const TaskqHandler **sorted = HandlersSorted(&n);
	NameState(*names)[NAMES] = palloc(sizeof(NameState[NAMES]) * (n + 1));

	for (int i = 0; i < n; i++)
	{
		ReadNames(sorted[i], names[i]);
		FindNames(sorted[i], names[i], false);
	}
	RecordAll(sorted, names, n);
}
