/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening what a QEMU is to inherit. Never blocks on a FIFO, never follows a
 * configuration into a directory or a socket.
 */
#ifndef FORKD_LAUNCH_FILES_H
#define FORKD_LAUNCH_FILES_H

#include <libfork/error.h>
#include <libfork/qemu.h>

#include "forkd/spawn.h"

/*
 * Opens everything the vector lists but RAM and QMP, which are given
 * (borrowed). `ret_fds` has room for argv->fd_count; launch_close_files()
 * closes what was opened, also after a failure.
 */
int launch_open_files(const struct lf_qemu_argv *argv,
    const struct spawn_user *user, int ram_fd, int qmp_fd,
    struct spawn_fd *ret_fds, struct lf_error *error);
void launch_close_files(const struct lf_qemu_argv *argv, struct spawn_fd *fds);

/* No QEMU will listen there: removes the sockets that were made. */
void launch_remove_sockets(
    const struct lf_qemu_argv *argv, const struct spawn_fd *fds);

/* A file of the host; what it is comes with it where wanted. */
int launch_open(const char *what, const char *path, int flags, int *ret_fd,
    bool *ret_block, struct lf_error *error);

#endif
