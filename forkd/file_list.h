/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A list of paths, each in it once at the most, in no order.
 */
#ifndef FORKD_FILE_LIST_H
#define FORKD_FILE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include <libfork/error.h>

#define FILE_LIST_MAX 256

struct file_list {
	char **path;
	size_t count;
};

/* Adds a path that is not in it; -E2BIG when it is full. */
int file_list_add(
    struct file_list *list, const char *path, struct lf_error *error);
bool file_list_has(const struct file_list *list, const char *path);

/* True when it was in the list. */
bool file_list_remove(struct file_list *list, const char *path);

void file_list_done(struct file_list *list);

#endif
