/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of all commands. Everything that a user can type is in it: help is
 * printed from it, and a test compares the manual page and the shell completion
 * with it.
 */
#ifndef XLFORK_COMMANDS_H
#define XLFORK_COMMANDS_H

#include "xlfork/command.h"

/* In groups; ended by a row whose title is NULL. */
extern const struct command_group command_groups[];

#endif
