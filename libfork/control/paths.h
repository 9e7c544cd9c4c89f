/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where forkd lives: its run directory (socket, process files) and its state
 * directory (overlays). The same rule for the daemon and its clients.
 */
#ifndef CONTROL_PATHS_H
#define CONTROL_PATHS_H

#include <libfork/error.h>

/* Environment variables that override the rule; for tests and set-ups with
 * several daemons. */
#define CONTROL_RUN_DIR_ENV   "FORKD_RUN_DIR"
#define CONTROL_STATE_DIR_ENV "FORKD_STATE_DIR"

/* The longest run directory: a socket's address holds 107 bytes. */
#define CONTROL_RUN_DIR_MAX 64

/*
 * The run directory: $FORKD_RUN_DIR, /run/forkd for root, else
 * $XDG_RUNTIME_DIR/forkd, /run/user/UID/forkd if that parent exists, or
 * /tmp/forkd-UID. Not created here. The caller frees it.
 */
int control_run_dir(char **ret_path, struct lf_error *error);

/*
 * The state directory: $FORKD_STATE_DIR, /var/lib/forkd for root, else
 * $XDG_STATE_HOME/forkd or ~/.local/state/forkd.
 */
int control_state_dir(char **ret_path, struct lf_error *error);

/* The socket of the forkd in a run directory. */
int control_socket_path(
    const char *run_dir, char **ret_path, struct lf_error *error);

#endif
