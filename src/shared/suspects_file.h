/*
 * suspects_file.h
 *	  Suspects that one postmaster leaves to the next.
 */
#ifndef TASKQ_SUSPECTS_FILE_H
#define TASKQ_SUSPECTS_FILE_H

#include "taskq.h"

#include "shared/blame.h"

extern void SuspectsSave(const BlameSuspect *suspects, int n);
extern int	SuspectsLoad(BlameSuspect *suspects);

#endif /* TASKQ_SUSPECTS_FILE_H */
