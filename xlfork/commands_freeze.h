/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command "freeze", which has more options than its family.
 */
#ifndef XLFORK_COMMANDS_FREEZE_H
#define XLFORK_COMMANDS_FREEZE_H

#include "xlfork/command.h"

extern const struct option_spec freeze_options[];

int command_freeze(const struct invocation *call, struct lf_error *error);

#endif
