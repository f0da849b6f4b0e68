/*
 * launcher.h
 *	  The launcher process, which starts the schedulers.
 */
#ifndef TASKQ_LAUNCHER_H
#define TASKQ_LAUNCHER_H

#include "taskq.h"

extern void LauncherRegister(void);

#endif /* TASKQ_LAUNCHER_H */
