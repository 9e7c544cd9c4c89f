/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lists of paths.
 */
#include "forkd/file_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"

void
file_list_done(struct file_list *list)
{
	while (list->count > 0)
		free(list->path[--list->count]);
	free(list->path);
	list->path = NULL;
}

int
file_list_add(struct file_list *list, const char *path, struct lf_error *error)
{
	char **grown;

	if (list->count >= FILE_LIST_MAX)
		return error_set(error, E2BIG,
		    "more than %d image files for one domain", FILE_LIST_MAX);
	grown = sys.realloc(list->path, (list->count + 1) * sizeof(*grown));
	if (grown == NULL)
		return error_nomem(error);
	list->path = grown;
	grown[list->count] = sys.strdup(path);
	if (grown[list->count] == NULL)
		return error_nomem(error);
	list->count++;
	return 0;
}

bool
file_list_has(const struct file_list *list, const char *path)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		if (strcmp(list->path[i], path) == 0)
			return true;
	return false;
}

bool
file_list_remove(struct file_list *list, const char *path)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		if (strcmp(list->path[i], path) == 0) {
			free(list->path[i]);
			list->path[i] = list->path[--list->count];
			return true;
		}
	return false;
}
