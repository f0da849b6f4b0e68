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
	char		   *payload_type;	  /* qualified name, or NULL */
	Oid				payload_type_oid; /* the cached OID; likewise validator_oid */
	Oid				validator_oid;
	Oid				payload_type_owner; /* at registration; likewise validator_owner */
	Oid				validator_owner;
	char		   *validator;		 /* signature, or NULL */
	struct varlena *required_fields; /* jsonb, or NULL */
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
