/*
 * args.h
 *	  Check and read the arguments of SQL-callable functions.
 */
#ifndef TASKQ_ARGS_H
#define TASKQ_ARGS_H

#include "taskq.h"

#include "fmgr.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#include "base/names.h"

#define NO_MICROSECONDS PG_INT64_MIN

extern void			   CheckWritable(const char *what);
extern void			   CheckName(const char *name, const char *what);
extern bool			   IsName(const char *name);
extern char			  *ArgName(FunctionCallInfo fcinfo, int n, const char *what);
extern bool			   IsServerWorkerId(const char *worker_id);
extern char			  *ArgWorkerId(FunctionCallInfo fcinfo, int n, const char *what);
extern char			  *ArgNameOrNull(FunctionCallInfo fcinfo, int n, const char *what);
extern char			  *ArgLabel(FunctionCallInfo fcinfo, int n, const char *what);
extern char			  *ArgTextOrNull(FunctionCallInfo fcinfo, int n);
extern void			   CheckText(const char *text, const char *what);
extern void			   CheckArgText(FunctionCallInfo fcinfo, int n, const char *what);
extern char			  *ArgShortTextOrNull(FunctionCallInfo fcinfo, int n, const char *what);
extern char			  *ArgErrorTextOrNull(FunctionCallInfo fcinfo, int n);
extern bool			   ArgBool(FunctionCallInfo fcinfo, int n, const char *what);
extern int32		   ArgInt(FunctionCallInfo fcinfo, int n, const char *what, int32 least, int32 most);
extern int64		   ArgId(FunctionCallInfo fcinfo, int n, const char *what);
extern int64		  *ArgIds(FunctionCallInfo fcinfo, int n, const char *what, int *count);
extern void			   CheckSameLength(const char *first, int count, const char *other, int other_count);
extern int64		   CheckMicrosecondsUpTo(Interval *interval, const char *what, int64 least, int days, const char *most);
extern int64		   CheckMicroseconds(Interval *interval, const char *what, int64 least);
extern int64		   ArgMicroseconds(FunctionCallInfo fcinfo, int n, const char *what, int64 least);
extern void			   CheckJsonSize(struct varlena *value, const char *what);
extern struct varlena *ArgJson(FunctionCallInfo fcinfo, int n, const char *what);

#endif /* TASKQ_ARGS_H */
