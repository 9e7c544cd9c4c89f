/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files of a domain's disks, as the registry knows them: overlays, and the
 * images behind them.
 */
#include "forkd/registry.h"

#include <string.h>
#include <unistd.h>

int
registry_add_file(struct domain *domain, struct file_list *list,
    const char *path, struct lf_error *error)
{
	int rc;

	if (file_list_has(list, path))
		return 0;
	rc = file_list_add(list, path, error);
	if (rc < 0)
		return rc;
	rc = registry_save(domain, error);
	if (rc < 0)
		file_list_remove(list, path);
	return rc;
}

void
registry_forget_overlay(struct domain *domain, const char *path)
{
	struct lf_error ignored;

	if (file_list_remove(&domain->overlays, path) ||
	    file_list_remove(&domain->named, path))
		registry_save(domain, &ignored);
}

void
registry_drop_overlay(struct domain *domain, const char *path)
{
	if (file_list_has(&domain->overlays, path) ||
	    file_list_has(&domain->named, path))
		unlink(path);
	registry_forget_overlay(domain, path);
}

/* Whether a path lies in a directory. */
static bool
lies_in(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && path[len] == '/';
}

void
registry_release_overlays(struct domain *domain, const char *our_dir)
{
	struct file_list *list = &domain->overlays;
	struct lf_error ignored;
	size_t i = 0;

	while (i < list->count) {
		if (lies_in(list->path[i], our_dir)) {
			i++;
			continue;
		}
		/* Out of memory, a reset will not find it, and says so. */
		file_list_add(&domain->named, list->path[i], &ignored);
		file_list_remove(list, list->path[i]);
	}
}

static bool
config_names(const struct lf_domain_config *config, const char *path)
{
	size_t i;

	for (i = 0; i < config->disk_count; i++)
		if (strcmp(config->disks[i].path, path) == 0)
			return true;
	return config->firmware.nvram != NULL &&
	       strcmp(config->firmware.nvram, path) == 0;
}

bool
registry_knows_image(const struct domain *domain, const char *path)
{
	for (; domain != NULL;
	     domain = registry_find_id(domain->registry, domain->parent))
		if (config_names(registry_config(domain), path) ||
		    file_list_has(&domain->overlays, path) ||
		    file_list_has(&domain->backing, path))
			return true;
	return false;
}
