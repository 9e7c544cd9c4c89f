/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xlfork/commands.h"

const struct command_group command_groups[] = {
    {"Domains", domain_commands},
    {"Looking at domains", look_commands},
    {"Forking", fork_commands},
    {"Fuzzing", fuzz_commands},
    {"Device-state files", devstate_commands},
    {"This host, and help", host_commands},
    {NULL, NULL},
};
