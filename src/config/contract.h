/*
 * contract.h
 *	  What a handler's payloads must be.
 */
#ifndef TASKQ_CONTRACT_H
#define TASKQ_CONTRACT_H

#include "taskq.h"

#include "fmgr.h"

typedef struct TaskqContract
{
	char		   *payload_type;	  /* qualified name; NULL: none */
	Oid				payload_type_oid; /* a cache, as is the next */
	Oid				validator_oid;
	Oid				payload_type_owner; /* when it was registered, as the next */
	Oid				validator_owner;
	char		   *validator;		 /* signature; NULL: none */
	struct varlena *required_fields; /* jsonb; NULL: none */
	struct varlena *optional_fields;
} TaskqContract;

extern bool		   ContractExists(const TaskqContract *contract);
extern bool		   ContractHasCode(const TaskqContract *contract);
extern void		   ContractRead(FunctionCallInfo fcinfo, int first, TaskqContract *contract);
extern void		   ContractCheck(const TaskqContract *contract, Oid role);
extern const char *ContractHold(TaskqContract *contract, Oid role, Oid registrar);
extern void		   ContractRelease(const TaskqContract *contract);
extern const char *ContractRefusal(TaskqContract *contract, Oid role, Oid registrar);

#endif /* TASKQ_CONTRACT_H */
