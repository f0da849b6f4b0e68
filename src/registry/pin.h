/*
 * pin.h
 *	  Set the settings that change how users' code reads and writes values to fixed
 *	  values.
 */
#ifndef TASKQ_PIN_H
#define TASKQ_PIN_H

#include "taskq.h"

extern void PinSettings(void);

#endif /* TASKQ_PIN_H */
