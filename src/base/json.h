/*
 * json.h
 *	  Build jsonb objects.
 */
#ifndef TASKQ_JSON_H
#define TASKQ_JSON_H

#include "taskq.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

extern void	  JsonBegin(StringInfo json);
extern void	  JsonAddText(StringInfo json, const char *key, const char *text);
extern void	  JsonAddTextOrNull(StringInfo json, const char *key, const char *text);
extern void	  JsonAddTexts(StringInfo json, const char *key, char **texts, int n);
extern void	  JsonAddInt(StringInfo json, const char *key, int value);
extern void	  JsonAddJsonb(StringInfo json, const char *key, const struct varlena *value);
extern void	  JsonAddRaw(StringInfo json, const char *key, const char *value);
extern Jsonb *JsonEnd(StringInfo json);

#endif /* TASKQ_JSON_H */
