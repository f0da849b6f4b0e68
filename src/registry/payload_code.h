/*
 * payload_code.h
 *	  Check payloads by their payload type and by a validator.
 */
#ifndef TASKQ_PAYLOAD_CODE_H
#define TASKQ_PAYLOAD_CODE_H

#include "taskq.h"

#include "access/tupdesc.h"
#include "catalog/pg_attribute.h"
#include "fmgr.h"
#include "utils/jsonb.h"

#include "config/contract.h"
#include "config/fields.h"
#include "registry/usercode.h"

/* A conversion of JSON to a row, or to a domain over a row type. */
typedef struct Conversion
{
	FmgrInfo	  flinfo; /* of jsonb_to_record() */
	TupleDesc	  desc;
	Oid			  domain; /* InvalidOid: the type is not a domain */
	void		 *domain_state;
	Jsonb		 *json;
	MemoryContext context;
} Conversion;

typedef struct Validation
{
	Oid			  function;
	MemoryContext context; /* of flinfo */
	FmgrInfo	  flinfo;  /* looked up at the first call, by users' code */
	bool		  returns_text;
	Jsonb		 *payload;
	bool		  valid;
	char		 *reason; /* why the payload is not valid, or NULL if the validator gave no reason */
} Validation;

typedef struct PayloadCheck
{
	char		  task_type[TASKQ_NAME_MAX + 1];
	TaskqContract contract;
	UserCode	  code;
	Oid			  base; /* the composite type of the payload type, or InvalidOid */
	Conversion	  whole;
	Validation	  validation;
	Problems	  problems;
} PayloadCheck;

extern void PayloadCodeBegin(PayloadCheck *check);
extern void PayloadCheckType(PayloadCheck *check, Jsonb *payload);
extern void PayloadCheckByValidator(PayloadCheck *check, Jsonb *payload);
extern bool PayloadNeeds(Form_pg_attribute attribute);
extern bool PayloadDeclares(const PayloadCheck *check, const char *name);

#endif /* TASKQ_PAYLOAD_CODE_H */
