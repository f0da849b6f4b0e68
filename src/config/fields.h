/*
 * fields.h
 *	  Fields that a payload must or may have.
 */
#ifndef TASKQ_FIELDS_H
#define TASKQ_FIELDS_H

#include "taskq.h"

#include "lib/stringinfo.h"

/* Problems with a payload, one sentence each. */
typedef struct Problems
{
	StringInfoData text;
	int			   count;
} Problems;

extern void ProblemsInit(Problems *problems);
extern void ProblemAdd(Problems *problems, const char *format, ...) pg_attribute_printf(2, 3);
extern bool FieldIsNamed(const Problems *problems, const char *field);
extern void FieldMissing(Problems *problems, const char *field);
extern void FieldsCheckDeclared(struct varlena *required, struct varlena *optional);
extern void FieldsCheck(Problems *problems, struct varlena *payload, struct varlena *fields, bool required);

#endif /* TASKQ_FIELDS_H */
