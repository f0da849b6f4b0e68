/*
 * pin.h
 *	  Settings that change what users' code reads and writes, at fixed values.
 */
#ifndef TASKQ_PIN_H
#define TASKQ_PIN_H

#include "taskq.h"

extern void PinSettings(void);

#endif /* TASKQ_PIN_H */
