/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forkd's directories and the files in it. The run directory holds `socket`,
 * `lock`, `next-id` and domains/ID/{domain.json, socket, vnc}; the state
 * directory holds overlays/. What is not ours alone is refused.
 */
#ifndef FORKD_RUNDIR_H
#define FORKD_RUNDIR_H

#include <sys/types.h>
#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>
#include <libfork/error.h>

/*
 * Makes a directory if it is missing (its parent exists, or `parents`) and
 * checks that it is a directory of ours that nobody else can write. `mode` is
 * 0700, or 0711 where another user has to pass through.
 */
int rundir_make(
    const char *path, mode_t mode, bool parents, struct lf_error *error);

/*
 * Takes the lock that one forkd holds as long as it lives; its children do not
 * have it. -EWOULDBLOCK: there is another one.
 */
int rundir_lock(const char *run_dir, int *ret_fd, struct lf_error *error);

/* Replaces a file as a whole: readers see the old or the new content. */
int rundir_write_json(
    const char *path, const json_t *value, struct lf_error *error);

/* Reads what rundir_write_json() wrote. */
int rundir_read_json(
    const char *path, json_t **ret_value, struct lf_error *error);

/* Removes a directory with the files in it, two levels deep; not links. */
void rundir_remove_tree(const char *path);

/* A listening unix socket at `path`, which replaces an old one. */
int rundir_listen(const char *path, int backlog, mode_t mode, int *ret_sock,
    struct lf_error *error);

/* Joins into fresh memory; NULL when out of memory. */
char *rundir_path(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

#endif
