/*
 * text.h
 *	  Make text values that are stored in tables.
 */
#ifndef TASKQ_TEXT_H
#define TASKQ_TEXT_H

#include "taskq.h"

extern struct varlena *TextOrNull(const char *string);
extern void			   MakeValidText(char *string, int len);
extern struct varlena *ErrorText(const char *string);

#endif /* TASKQ_TEXT_H */
