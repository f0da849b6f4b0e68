/*
 * names.h
 *	  Arrays of names: task types, queues, capabilities.
 */
#ifndef TASKQ_NAMES_H
#define TASKQ_NAMES_H

#include "taskq.h"

#include "fmgr.h"
#include "utils/array.h"

extern int		  CheckArrayLength(ArrayType *array, const char *what, int most);
extern ArrayType *ArgNamesOrNull(FunctionCallInfo fcinfo, int n, const char *what);
extern ArrayType *ArgSomeNamesOrNull(FunctionCallInfo fcinfo, int n, const char *what);
extern ArrayType *ArgTagsOrNull(FunctionCallInfo fcinfo, int n, const char *what);
extern ArrayType *NormalizeNames(ArrayType *names, const char *what);

extern bool		  NamesContain(ArrayType *names, const char *name);
extern bool		  NamesCover(ArrayType *have, ArrayType *need);
extern ArrayType *NamesMissing(ArrayType *have, ArrayType *need);
extern bool		  NamesEqual(ArrayType *a, ArrayType *b);
extern int		  NamesIndex(ArrayType *names, const char *name);
extern ArrayType *StringsToNames(char **strings, int n);
extern char		**NamesToStrings(ArrayType *names, int *n, const char *what);
extern int		  NamesCount(ArrayType *names);
extern ArrayType *NamesCopy(ArrayType *names);

#endif /* TASKQ_NAMES_H */
