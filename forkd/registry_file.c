/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain's file in the run directory.
 */
#include "forkd/registry_file.h"

#include <sys/stat.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/config_json.h"
#include "forkd/domain.h"
#include "forkd/rundir.h"

#define FORMAT_VERSION 2

static void
json_free_p(json_t **value)
{
	json_decref(*value);
}
#define cleanup_json cleanup(json_free_p)

/* A list of paths as a value; NULL when out of memory. */
static json_t *
files_value(const struct file_list *list)
{
	json_t *paths = json_array();
	size_t i;

	for (i = 0; i < list->count; i++)
		if (json_array_append_new(paths, json_string(list->path[i])) <
		    0) {
			json_decref(paths);
			return NULL;
		}
	return paths;
}

int
registry_file_write(const struct domain *domain, struct lf_error *error)
{
	cleanup_free char *path = rundir_path("%s/domain.json", domain->dir);
	cleanup_json json_t *config = NULL, *value = NULL;
	int rc;

	if (path == NULL)
		return error_nomem(error);
	rc = config_json_make(domain->config, &config, error);
	if (rc < 0)
		return rc;
	value = json_pack("{s:i, s:O, s:s, s:o, s:I, s:b, s:I, s:s, s:o, "
			  "s:o, s:{s:I, s:I}, s:{s:I, s:I}, s:I, s:b}",
	    "version", FORMAT_VERSION, "config", config, "state",
	    control_state_name(domain->state), "reason",
	    control_make_text(domain->reason), "parent",
	    (json_int_t)domain->parent, "established", domain->established,
	    "created", (json_int_t)domain->created, "accelerator-reason",
	    domain->accelerator_reason, "overlays",
	    files_value(&domain->overlays), "backing",
	    files_value(&domain->backing), "process", "pid",
	    (json_int_t)domain->process.pid, "start",
	    (json_int_t)domain->process.start_time, "qemu", "pid",
	    (json_int_t)domain->qemu.pid, "start",
	    (json_int_t)domain->qemu.start_time, "host",
	    (json_int_t)domain->host, "device-model", domain->device_model);
	if (value == NULL)
		return error_nomem(error);
	if (domain->named.count > 0 &&
	    json_object_set_new(
		value, "named-overlays", files_value(&domain->named)) < 0)
		return error_nomem(error);
	if (domain->launch_config != NULL) {
		json_t *launch = NULL;

		rc = config_json_make(domain->launch_config, &launch, error);
		if (rc < 0)
			return rc;
		if (json_object_set_new(value, "launch-config", launch) < 0)
			return error_nomem(error);
	}
	return rundir_write_json(path, value, error);
}

bool
registry_file_is_shortage(int rc)
{
	return rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE || rc == -EIO;
}

/* A domain's process again, if it is still the same. */
static int
find_process(json_int_t pid, json_int_t start, struct process *ret_process,
    struct lf_error *error)
{
	int rc = process_find((pid_t)pid, (uint64_t)start, ret_process, error);

	if (rc == 0 || registry_file_is_shortage(rc))
		return rc;
	*ret_process = PROCESS_NONE;
	return 0;
}

static int
read_files(const struct domain *domain, struct file_list *list,
    const json_t *paths, struct lf_error *error)
{
	size_t i;
	json_t *path;

	json_array_foreach((json_t *)paths, i, path)
	{
		int rc;

		if (!json_is_string(path))
			return error_set(error, EBADMSG,
			    "'%s/domain.json': a path is no string",
			    domain->dir);
		rc = file_list_add(list, json_string_value(path), error);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* A configuration of a file; none where there is no value. */
static int
read_config(const json_t *value, struct lf_domain_config **ret_config,
    struct lf_error *error)
{
	return value == NULL ? 0 : config_json_read(value, ret_config, error);
}

int
registry_file_read(struct domain *domain, struct lf_error *error)
{
	cleanup_free char *path = rundir_path("%s/domain.json", domain->dir);
	cleanup_json json_t *value = NULL;
	json_int_t parent, created, pid, start, qemu_pid, qemu_start, host;
	json_t *config, *overlays, *backing;
	const char *state, *reason, *accelerator;
	int rc, version, established, device_model;

	if (path == NULL)
		return error_nomem(error);
	rc = rundir_read_json(path, &value, error);
	if (rc < 0)
		return rc;
	if (json_unpack(value,
		"{s:i, s:o, s:s, s:s, s:I, s:b, s:I, s:s, s:o, s:o, s:{s:I, "
		"s:I}, s:{s:I, s:I}, s:I, s:b}",
		"version", &version, "config", &config, "state", &state,
		"reason", &reason, "parent", &parent, "established",
		&established, "created", &created, "accelerator-reason",
		&accelerator, "overlays", &overlays, "backing", &backing,
		"process", "pid", &pid, "start", &start, "qemu", "pid",
		&qemu_pid, "start", &qemu_start, "host", &host, "device-model",
		&device_model) < 0 ||
	    version != FORMAT_VERSION || control_state_parse(state) == 0)
		return error_set(error, EBADMSG,
		    "'%s' is not a domain's file of this forkd's format, %d",
		    path, FORMAT_VERSION);
	rc = read_config(config, &domain->config, error);
	if (rc == 0)
		rc = read_config(json_object_get(value, "launch-config"),
		    &domain->launch_config, error);
	if (rc < 0)
		return error_prefix(error, rc, "'%s'", path);
	domain->state = control_state_parse(state);
	domain->parent = (unsigned)parent;
	domain->host = (unsigned)host;
	domain->device_model = device_model;
	domain->established = established;
	domain->created = created;
	snprintf(domain->reason, sizeof(domain->reason), "%s", reason);
	snprintf(domain->accelerator_reason, sizeof(domain->accelerator_reason),
	    "%s", accelerator);
	rc = find_process(pid, start, &domain->process, error);
	if (rc == 0)
		rc = find_process(qemu_pid, qemu_start, &domain->qemu, error);
	if (rc == 0)
		rc = read_files(domain, &domain->overlays, overlays, error);
	if (rc == 0)
		rc = read_files(domain, &domain->named,
		    json_object_get(value, "named-overlays"), error);
	if (rc == 0)
		rc = read_files(domain, &domain->backing, backing, error);
	return rc;
}

bool
registry_file_is_missing(const struct domain *domain)
{
	cleanup_free char *path = rundir_path("%s/domain.json", domain->dir);
	struct stat st;

	return path != NULL && sys.lstat(path, &st) < 0 && errno == ENOENT;
}

int
registry_file_peek(const struct domain *domain, struct file_list *names,
    unsigned *ret_parent, struct lf_error *error)
{
	static const char *const configs[] = {"config", "launch-config"};
	cleanup_free char *path = rundir_path("%s/domain.json", domain->dir);
	cleanup_json json_t *value = NULL;
	json_int_t parent;
	size_t i;
	int rc;

	*ret_parent = 0;
	if (path == NULL)
		return error_nomem(error);
	rc = rundir_read_json(path, &value, error);
	if (rc < 0)
		return registry_file_is_shortage(rc) ? rc : 0;
	parent = json_integer_value(json_object_get(value, "parent"));
	if (parent > 0 && parent <= INT32_MAX)
		*ret_parent = (unsigned)parent;
	for (i = 0; rc == 0 && i < sizeof(configs) / sizeof(*configs); i++) {
		const char *name = json_string_value(json_object_get(
		    json_object_get(value, configs[i]), "name"));

		if (name != NULL && !file_list_has(names, name))
			rc = file_list_add(names, name, error);
	}
	return rc;
}

int
registry_file_ids(const char *run_dir, unsigned **ret_ids, size_t *ret_count,
    struct lf_error *error)
{
	cleanup_free char *path = rundir_path("%s/domains", run_dir);
	cleanup_free unsigned *ids = NULL;
	struct dirent *entry;
	size_t count = 0;
	DIR *dir;

	if (path == NULL)
		return error_nomem(error);
	ids = sys.calloc(REGISTRY_DOMAINS_MAX, sizeof(*ids));
	if (ids == NULL)
		return error_nomem(error);
	dir = opendir(path);
	if (dir == NULL)
		return error_sys(error, errno, "cannot read '%s'", path);
	while ((entry = readdir(dir)) != NULL) {
		char *end;
		unsigned long id = strtoul(entry->d_name, &end, 10);

		if (end == entry->d_name || *end != '\0' || id == 0 ||
		    id > INT32_MAX || count >= REGISTRY_DOMAINS_MAX)
			continue;
		ids[count++] = (unsigned)id;
	}
	closedir(dir);
	*ret_ids = take_ptr(ids);
	*ret_count = count;
	return 0;
}
