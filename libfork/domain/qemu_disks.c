/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Chains of disk files. Their JSON form travels with a snapshot, so it is
 * checked when it is read.
 */
#include "domain/qemu_disks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"

/* --- chains --- */

static void
chain_done(struct lf_qemu_chain *chain)
{
	size_t i;

	for (i = 0; i < chain->count; i++)
		free((char *)chain->layers[i].path);
	free((struct lf_qemu_layer *)chain->layers);
	*chain = (struct lf_qemu_chain){0};
}

/* Puts a copy of a layer behind (or, `front`, before) the others. */
static int
chain_add(struct lf_qemu_chain *chain, const char *path,
    enum lf_disk_format format, bool front, struct lf_error *error)
{
	struct lf_qemu_layer *layers;
	char *copy;

	if (chain->count >= LF_QEMU_LAYERS_MAX)
		return error_set(error, EINVAL,
		    "'%s': more than %d images on each other; copy the lowest "
		    "ones together",
		    path, LF_QEMU_LAYERS_MAX);
	layers = sys.realloc((struct lf_qemu_layer *)chain->layers,
	    (chain->count + 1) * sizeof(*layers));
	if (layers == NULL)
		return error_nomem(error);
	chain->layers = layers;
	copy = sys.strdup(path);
	if (copy == NULL)
		return error_nomem(error);
	if (front)
		memmove(layers + 1, layers, chain->count * sizeof(*layers));
	layers[front ? 0 : chain->count] =
	    (struct lf_qemu_layer){.path = copy, .format = format};
	chain->count++;
	return 0;
}

void
qemu_disks_done(struct qemu_disks *disks, struct lf_launcher *launcher)
{
	size_t i;

	for (i = 0; i < disks->overlay_count; i++) {
		launcher->remove_overlay(launcher, disks->overlays[i]);
		free(disks->overlays[i]);
	}
	free(disks->overlays);
	for (i = 0; i < disks->disk_count; i++)
		chain_done(&disks->disks[i]);
	free(disks->disks);
	chain_done(&disks->nvram);
	*disks = (struct qemu_disks){0};
}

static int
disks_init(struct qemu_disks *disks, const struct lf_domain_config *config,
    struct lf_error *error)
{
	*disks = (struct qemu_disks){0};
	if (config->disk_count == 0)
		return 0;
	disks->disks = sys.calloc(config->disk_count, sizeof(*disks->disks));
	if (disks->disks == NULL)
		return error_nomem(error);
	disks->disk_count = config->disk_count;
	return 0;
}

int
qemu_disks_from_config(struct qemu_disks *disks,
    const struct lf_domain_config *config, struct lf_error *error)
{
	size_t i;
	int rc = disks_init(disks, config, error);

	for (i = 0; rc == 0 && i < config->disk_count; i++)
		rc = chain_add(&disks->disks[i], config->disks[i].path,
		    config->disks[i].format, false, error);
	if (rc == 0 && config->firmware.nvram != NULL)
		rc = chain_add(&disks->nvram, config->firmware.nvram,
		    LF_DISK_RAW, false, error);
	if (rc < 0)
		qemu_disks_done(disks, NULL);
	return rc;
}

/* --- JSON --- */

static json_t *
chain_to_json(const struct lf_qemu_chain *chain)
{
	json_t *array = json_array();
	size_t i;

	for (i = 0; array != NULL && i < chain->count; i++) {
		const struct lf_qemu_layer *layer = &chain->layers[i];

		if (json_array_append_new(array,
			json_pack("{s:s, s:s}", "path", layer->path, "format",
			    lf_disk_format_name(layer->format))) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

int
qemu_disks_to_json(
    const struct qemu_disks *disks, json_t **ret_files, struct lf_error *error)
{
	json_t *list = json_array();
	json_t *files = json_pack("{s:o?, s:o?}", "disks", list, "nvram",
	    chain_to_json(&disks->nvram));
	size_t i;

	if (files == NULL || list == NULL) {
		json_decref(files);
		return error_nomem(error);
	}
	for (i = 0; i < disks->disk_count; i++)
		if (json_array_append_new(
			list, chain_to_json(&disks->disks[i])) < 0) {
			json_decref(files);
			return error_nomem(error);
		}
	*ret_files = files;
	return 0;
}

static int
parse_format(const char *name, enum lf_disk_format *ret)
{
	enum lf_disk_format format;

	for (format = LF_DISK_RAW; format <= LF_DISK_QCOW2; format++)
		if (name != NULL &&
		    strcmp(name, lf_disk_format_name(format)) == 0) {
			*ret = format;
			return 0;
		}
	return -EINVAL;
}

static int
chain_from_json(
    struct lf_qemu_chain *chain, const json_t *array, struct lf_error *error)
{
	const json_t *item;
	size_t i;

	json_array_foreach(array, i, item)
	{
		const char *path =
		    json_string_value(json_object_get(item, "path"));
		const char *name =
		    json_string_value(json_object_get(item, "format"));
		enum lf_disk_format format;
		int rc;

		if (path == NULL || path[0] != '/' ||
		    parse_format(name, &format) < 0)
			return error_set(error, EBADMSG,
			    "snapshot: a disk file without path or format");
		rc = chain_add(chain, path, format, false, error);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- overlays --- */

/* A fork's disks being made of its parent's. */
struct forking {
	struct qemu_disks *disks;
	const struct lf_domain_config *parent;
	struct lf_domain_config *config; /* gets the overlays' paths */
	struct lf_launcher *launcher;
};

static int
remember_overlay(struct qemu_disks *disks, char *path, struct lf_error *error)
{
	char **overlays = sys.realloc(
	    disks->overlays, (disks->overlay_count + 1) * sizeof(*overlays));

	if (overlays == NULL)
		return error_nomem(error);
	overlays[disks->overlay_count++] = path;
	disks->overlays = overlays;
	return 0;
}

/*
 * Puts a new overlay in front of a chain and its path into `*path`, which says
 * where it is to be unless it is the parent's.
 */
static int
add_overlay(const struct forking *f, struct lf_qemu_chain *chain,
    const char *parent_path, char **path, const char *label,
    struct lf_error *error)
{
	struct lf_overlay_request request = {
	    .backing = chain->layers[0].path,
	    .backing_format = lf_disk_format_name(chain->layers[0].format),
	    .path = strcmp(*path, parent_path) != 0 ? *path : NULL,
	    .label = label,
	};
	char *made = NULL;
	int rc;

	rc = f->launcher->make_overlay(f->launcher, &request, &made, error);
	if (rc < 0)
		return rc;
	rc = remember_overlay(f->disks, made, error);
	if (rc < 0) {
		f->launcher->remove_overlay(f->launcher, made);
		free(made);
		return rc;
	}
	rc = chain_add(chain, made, LF_DISK_QCOW2, true, error);
	return rc < 0 ? rc : lf_domain_config_set(path, made, error);
}

static int
fork_disk(const struct forking *f, size_t i, const json_t *list,
    struct lf_error *error)
{
	struct lf_disk *disk = &f->config->disks[i];
	struct lf_qemu_chain *chain = &f->disks->disks[i];
	char label[LF_NAME_MAX + 16];
	int rc;

	rc = chain_from_json(chain, json_array_get(list, i), error);
	if (rc < 0)
		return rc;
	if (chain->count == 0)
		return error_set(
		    error, EBADMSG, "snapshot: disk %zu has no files", i);
	if (disk->read_only) {
		rc = lf_domain_config_set(
		    &disk->path, chain->layers[0].path, error);
		disk->format = chain->layers[0].format;
		return rc;
	}
	snprintf(label, sizeof(label), "%s-%s", f->config->name,
	    disk->device != NULL ? disk->device : "disk");
	rc = add_overlay(
	    f, chain, f->parent->disks[i].path, &disk->path, label, error);
	disk->format = LF_DISK_QCOW2;
	return rc;
}

int
qemu_disks_fork(struct qemu_disks *disks, const json_t *parent_files,
    const struct lf_domain_config *parent, struct lf_domain_config *config,
    struct lf_launcher *launcher, struct lf_error *error)
{
	const json_t *list = json_object_get(parent_files, "disks");
	const struct forking f = {disks, parent, config, launcher};
	size_t i;
	int rc = disks_init(disks, config, error);

	if (rc == 0 && (json_array_size(list) != config->disk_count ||
			   parent->disk_count != config->disk_count))
		rc = error_set(error, EBADMSG,
		    "snapshot: files of %zu disks for %zu disks",
		    json_array_size(list), config->disk_count);
	for (i = 0; rc == 0 && i < config->disk_count; i++)
		rc = fork_disk(&f, i, list, error);
	if (rc == 0)
		rc = chain_from_json(&disks->nvram,
		    json_object_get(parent_files, "nvram"), error);
	if (rc == 0 && disks->nvram.count > 0) {
		char label[LF_NAME_MAX + 16];

		snprintf(label, sizeof(label), "%s-nvram", config->name);
		rc =
		    parent->firmware.nvram != NULL &&
			    config->firmware.nvram != NULL
			? add_overlay(&f, &disks->nvram, parent->firmware.nvram,
			      &config->firmware.nvram, label, error)
			: error_set(error, EBADMSG,
			      "snapshot: flash variables that the "
			      "configuration does not have");
	}
	if (rc < 0)
		qemu_disks_done(disks, launcher);
	return rc;
}

/* --- what QEMU reports --- */

/* A node is called as its disk, with "-file" for the file below it. */
static bool
is_node_of(const char *node, const char *name)
{
	size_t len = strlen(name);

	return strncmp(node, name, len) == 0 &&
	       (node[len] == '\0' || strcmp(node + len, "-file") == 0);
}

int
qemu_disks_check_nodes(const struct lf_domain_config *config,
    const json_t *nodes, struct lf_error *error)
{
	const json_t *node;
	size_t i, k;

	if (!json_is_array(nodes))
		return error_set(
		    error, EBADMSG, "QEMU's list of block nodes is no list");
	json_array_foreach(nodes, i, node)
	{
		const char *name =
		    json_string_value(json_object_get(node, "node-name"));
		const char *file =
		    json_string_value(json_object_get(node, "file"));
		bool ours;

		if (json_is_true(json_object_get(node, "ro")))
			continue;
		if (name == NULL)
			return error_set(error, EBADMSG,
			    "QEMU has a block node without a name");
		ours = config->firmware.nvram != NULL &&
		       is_node_of(name, "flash1");
		for (k = 0; !ours && k < config->disk_count; k++)
			ours = config->disks[k].device != NULL &&
			       is_node_of(name, config->disks[k].device);
		if (!ours)
			return error_set(error, ENOTSUP,
			    "block node '%s' (%s) is writable and no disk of "
			    "the configuration: a fork cannot get an overlay "
			    "for it",
			    name, file != NULL ? file : "no file");
	}
	return 0;
}
