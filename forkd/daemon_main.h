/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's life from start to end.
 */
#ifndef FORKD_DAEMON_MAIN_H
#define FORKD_DAEMON_MAIN_H

#include <libfork/error.h>

struct daemon_options;
struct spawn_user;

/* QEMU's user, where forkd is root. */
int daemon_find_user(const struct daemon_options *options,
    struct spawn_user *ret_user, struct lf_error *error);

/* Runs until it is told to end; an exit status. */
int daemon_main(const struct daemon_options *options);

#endif
