/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Help, printed from the table of commands.
 */
#ifndef XLFORK_HELP_H
#define XLFORK_HELP_H

#include <stdio.h>

#include "xlfork/command.h"

/* What xlfork is, and all commands with half a line each. */
void help_overview(FILE *stream, const struct command_group *groups);

/* One command: usage, what it does, its options. */
void help_command(FILE *stream, const struct command *command);

/* "usage: xlfork list [OPTION]... [DOMAIN]", one line. */
void help_usage(FILE *stream, const struct command *command);

#endif
