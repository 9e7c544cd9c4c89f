/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files of a domain's disks.
 */
#include "forkd/launch_chain.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/peer.h"
#include "forkd/registry.h"

static void
chain_free(struct lf_qemu_chain *chain)
{
	free((void *)chain->layers);
	*chain = (struct lf_qemu_chain){0};
}

void
launch_chains_done(struct launch_chains *chains)
{
	size_t i;

	for (i = 0; i < chains->count; i++)
		chain_free(&chains->disk[i]);
	chain_free(&chains->nvram);
}

int
launch_check_image(
    struct domain *domain, const char *path, bool below, struct lf_error *error)
{
	if (path[0] != '/')
		return error_set(
		    error, EINVAL, "image '%s' is no absolute path", path);
	if (registry_knows_image(domain, path))
		return 0;
	if (!domain->established && domain->parent == 0 && below)
		return registry_add_file(domain, &domain->backing, path, error);
	return error_set(error, EACCES,
	    "image '%s' does not belong to domain %u ('%s')", path, domain->id,
	    domain->config->name);
}

/* Nothing is taken for raw that is something else. */
static int
read_format(const char *path, const char *name, enum lf_disk_format *ret,
    struct lf_error *error)
{
	if (strcmp(name, lf_disk_format_name(LF_DISK_QCOW2)) == 0)
		*ret = LF_DISK_QCOW2;
	else if (strcmp(name, lf_disk_format_name(LF_DISK_RAW)) == 0)
		*ret = LF_DISK_RAW;
	else
		return error_set(error, EINVAL,
		    "image '%s' has format '%.16s', only raw and qcow2 are "
		    "used; convert it with 'qemu-img convert'",
		    path, name);
	return 0;
}

static int
read_chain(struct domain *domain, const json_t *value,
    struct lf_qemu_chain *ret, struct lf_error *error)
{
	size_t count = json_array_size(value), i;
	struct lf_qemu_layer *layers;

	if (count < 1 || count > LF_QEMU_LAYERS_MAX)
		return error_set(error, EINVAL,
		    "a disk of %zu files, 1 to %d are allowed", count,
		    LF_QEMU_LAYERS_MAX);
	layers = sys.calloc(count, sizeof(*layers));
	if (layers == NULL)
		return error_nomem(error);
	ret->layers = layers;
	ret->count = count;
	for (i = 0; i < count; i++) {
		const char *path, *format;
		struct stat st;
		int rc;

		if (json_unpack(json_array_get(value, i), "{s:s, s:s}", "path",
			&path, "format", &format) < 0)
			return error_set(error, EINVAL,
			    "a disk's file has no path or no format");
		rc = launch_check_image(domain, path, i > 0, error);
		if (rc < 0)
			return rc;
		layers[i].path = path;
		rc = read_format(path, format, &layers[i].format, error);
		if (rc < 0)
			return rc;
		layers[i].block_device =
		    sys.stat(path, &st) == 0 && S_ISBLK(st.st_mode);
	}
	return 0;
}

/* A disk without files of its own: what the configuration names. */
static json_t *
chain_value_of(const char *path, enum lf_disk_format format)
{
	return json_pack("[{s:s, s:s}]", "path", path, "format",
	    lf_disk_format_name(format));
}

int
launch_chains_read(struct domain *domain, const struct peer_request *request,
    struct launch_chains *ret, json_t *held, struct lf_error *error)
{
	const struct lf_domain_config *config = registry_config(domain);
	const json_t *disks = peer_request_argument(request, "disks");
	const json_t *nvram = peer_request_argument(request, "nvram");
	int rc = 0;
	size_t i;

	if (disks != NULL && json_array_size(disks) != config->disk_count)
		return error_set(error, EINVAL,
		    "files for %zu disks, the domain has %zu",
		    json_array_size(disks), config->disk_count);
	for (i = 0; rc == 0 && i < config->disk_count; i++) {
		json_t *chain = json_array_get(disks, i);

		if (json_array_size(chain) > 0)
			json_array_append(held, chain);
		else {
			chain = chain_value_of(
			    config->disks[i].path, config->disks[i].format);
			json_array_append_new(held, chain);
		}
		if (chain == NULL)
			return error_nomem(error);
		ret->count = i + 1;
		rc = read_chain(domain, chain, &ret->disk[i], error);
	}
	if (rc == 0 && json_array_size(nvram) > 0)
		rc = read_chain(domain, nvram, &ret->nvram, error);
	return rc;
}

int
launch_chains_config(const struct domain *domain,
    const struct launch_chains *chains, struct lf_domain_config **ret_config,
    struct lf_error *error)
{
	struct lf_domain_config *config = NULL;
	size_t i;
	int rc;

	rc = lf_domain_config_copy(registry_config(domain), &config, error);
	for (i = 0; rc == 0 && i < chains->count; i++) {
		const struct lf_qemu_layer *top = &chains->disk[i].layers[0];

		rc = lf_domain_config_set(
		    &config->disks[i].path, top->path, error);
		config->disks[i].format = top->format;
	}
	if (rc == 0 && chains->nvram.count > 0)
		rc = lf_domain_config_set(&config->firmware.nvram,
		    chains->nvram.layers[0].path, error);
	if (rc < 0) {
		lf_domain_config_free(config);
		return rc;
	}
	*ret_config = config;
	return 0;
}
