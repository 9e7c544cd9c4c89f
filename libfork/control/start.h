/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connecting to the user's forkd, which is started when none listens. Such a
 * forkd exits when its last domain is gone and no client is connected.
 */
#ifndef CONTROL_START_H
#define CONTROL_START_H

#include <stdbool.h>
#include <stddef.h>

#include <libfork/error.h>

#include "control/client.h"

/* Names the forkd program to start, instead of the installed one. */
#define CONTROL_FORKD_ENV "FORKD"

/*
 * The forkd program: `program` (NULL: $FORKD, else a forkd beside this program,
 * in `buf`, else the installed one).
 */
const char *control_program(const char *program, char *buf, size_t size);

/*
 * Connects to the forkd of the run directory that control_run_dir() says. If
 * nobody listens: starts control_program(program) and waits until it is ready;
 * its own message is the error when it cannot start. With `start` false:
 * -ENOENT.
 */
int control_start(const char *program, bool start, int timeout_ms,
    struct control_client **ret_client, struct lf_error *error);

#endif
