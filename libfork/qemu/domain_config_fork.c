/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fork's configuration beside its parent's. What the frozen guest knows
 * about itself cannot be changed; the other ends of its devices can.
 */
#include <libfork/domain_config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "qemu/domain_config_table.h"

DEFINE_CLEANUP(struct lf_domain_config *, lf_domain_config_free);

#define VALUE_MAX 160

/* A size as people write it: the largest unit that leaves no remainder. */
static void
format_size(uint64_t bytes, char buf[VALUE_MAX])
{
	static const char units[] = "\0KMGT";
	unsigned unit = 0;

	while (bytes != 0 && bytes % 1024 == 0 && unit < 4) {
		bytes /= 1024;
		unit++;
	}
	snprintf(buf, VALUE_MAX, "%" PRIu64 "%.1s", bytes, &units[unit]);
}

static void
format_value(
    const struct config_field *field, const void *object, char buf[VALUE_MAX])
{
	const void *at = config_at(object, field->offset);
	const char *string;

	snprintf(buf, VALUE_MAX, "nothing");
	switch (field->kind) {
	case CONFIG_STRING:
	case CONFIG_PATH:
		string = *(char *const *)at;
		if (string != NULL)
			snprintf(buf, VALUE_MAX, "'%.120s%s'", string,
			    strlen(string) > 120 ? "..." : "");
		break;
	case CONFIG_STRINGS:
	case CONFIG_LIST:
		snprintf(buf, VALUE_MAX, "%zu", *config_count(field, object));
		break;
	case CONFIG_UUID:
		if (((const struct lf_uuid *)at)->set)
			lf_uuid_format(at, buf);
		break;
	case CONFIG_MAC:
		if (((const struct lf_mac *)at)->set)
			lf_mac_format(at, buf);
		break;
	case CONFIG_SIZE:
		format_size(*(const uint64_t *)at, buf);
		break;
	case CONFIG_UNSIGNED:
		snprintf(buf, VALUE_MAX, "%u", *(const unsigned *)at);
		break;
	case CONFIG_PORT:
		snprintf(buf, VALUE_MAX, "%u", *(const uint16_t *)at);
		break;
	case CONFIG_ENUM:
		snprintf(
		    buf, VALUE_MAX, "%s", field->names[*(const unsigned *)at]);
		break;
	case CONFIG_BOOL:
		snprintf(
		    buf, VALUE_MAX, "%s", *(const bool *)at ? "on" : "off");
		break;
	case CONFIG_STRUCT:
		break;
	}
}

static bool
plain_equal(const struct config_field *field, const void *a, const void *b)
{
	const void *at = config_at(a, field->offset);
	const void *bt = config_at(b, field->offset);
	const char *as, *bs;

	switch (field->kind) {
	case CONFIG_STRING:
	case CONFIG_PATH:
		as = *(char *const *)at;
		bs = *(char *const *)bt;
		return as == bs ||
		       (as != NULL && bs != NULL && strcmp(as, bs) == 0);
	case CONFIG_UUID:
		return memcmp(at, bt, sizeof(struct lf_uuid)) == 0;
	case CONFIG_MAC:
		return memcmp(at, bt, sizeof(struct lf_mac)) == 0;
	case CONFIG_SIZE:
		return *(const uint64_t *)at == *(const uint64_t *)bt;
	case CONFIG_UNSIGNED:
	case CONFIG_ENUM:
		return *(const unsigned *)at == *(const unsigned *)bt;
	case CONFIG_PORT:
		return *(const uint16_t *)at == *(const uint16_t *)bt;
	case CONFIG_BOOL:
		return *(const bool *)at == *(const bool *)bt;
	case CONFIG_STRINGS:
	case CONFIG_LIST:
		return *config_count(field, a) == *config_count(field, b);
	case CONFIG_STRUCT:
		break;
	}
	return true;
}

static int
refuse(const struct config_place *place, const char *parent, const char *fork,
    struct lf_error *error)
{
	char where[CONFIG_PLACE_MAX];

	config_place_format(place, where);
	return error_set(error, EINVAL,
	    "%s: the parent has %s, the fork's configuration %s; the frozen "
	    "guest keeps the parent's",
	    where, parent, fork);
}

static int
check_plain(const struct config_field *field, const struct config_place *place,
    const void *parent, const void *fork, struct lf_error *error)
{
	char parent_value[VALUE_MAX], fork_value[VALUE_MAX];

	if (field->fork == CONFIG_FORK_FREE || field->fork == CONFIG_FORK_ASK ||
	    plain_equal(field, parent, fork))
		return 0;
	if (field->fork == CONFIG_FORK_OPEN && config_is_empty(field, fork))
		return 0;
	if (field->fork == CONFIG_FORK_PRESENCE &&
	    config_is_empty(field, parent) == config_is_empty(field, fork))
		return 0;
	format_value(field, parent, parent_value);
	format_value(field, fork, fork_value);
	return refuse(place, parent_value, fork_value, error);
}

static int
check_strings(const struct config_field *field,
    const struct config_place *place, const void *parent, const void *fork,
    struct lf_error *error)
{
	const struct config_field string = {.kind = CONFIG_STRING};
	char **a = *(char ***)config_at(parent, field->offset);
	char **b = *(char ***)config_at(fork, field->offset);

	for (size_t i = 0; i < *config_count(field, parent); i++) {
		struct config_place at = {place->up, place->name, i};

		if (check_plain(&string, &at, &a[i], &b[i], error) < 0)
			return -EINVAL;
	}
	return 0;
}

static int
check_type(const struct config_type *type, const struct config_place *up,
    const void *parent, const void *fork, struct lf_error *error)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < type->count; i++) {
		const struct config_field *field = &type->fields[i];
		struct config_place place = {up, field->name, CONFIG_NO_INDEX};

		rc = check_plain(field, &place, parent, fork, error);
		if (rc < 0 || field->fork == CONFIG_FORK_FREE)
			continue;
		if (field->kind == CONFIG_STRUCT)
			rc = check_type(field->type, &place,
			    config_at(parent, field->offset),
			    config_at(fork, field->offset), error);
		if (field->kind == CONFIG_STRINGS)
			rc = check_strings(field, &place, parent, fork, error);
		if (field->kind != CONFIG_LIST)
			continue;
		for (size_t k = 0; rc == 0 && k < *config_count(field, parent);
		     k++) {
			place.index = k;
			rc = check_type(field->type, &place,
			    config_element(field, parent, k),
			    config_element(field, fork, k), error);
		}
	}
	return rc;
}

int
lf_domain_config_check_fork(const struct lf_domain_config *parent,
    const struct lf_domain_config *fork, struct lf_error *error)
{
	return check_type(&config_type, NULL, parent, fork, error);
}

int
lf_domain_config_inherit(struct lf_domain_config *fork,
    const struct lf_domain_config *parent, struct lf_error *error)
{
	int rc = 0;

	if (!fork->uuid.set)
		fork->uuid = parent->uuid;
	if (!fork->vmgenid.value.set)
		fork->vmgenid.value = parent->vmgenid.value;
	if (fork->accelerator == LF_ACCELERATOR_AUTO)
		fork->accelerator = parent->accelerator;
	for (size_t i = 0; i < fork->network_count; i++)
		if (!fork->networks[i].mac.set)
			fork->networks[i].mac = parent->networks[i].mac;
	for (size_t i = 0; rc == 0 && i < fork->disk_count; i++)
		if (fork->disks[i].device == NULL)
			rc = lf_domain_config_set(&fork->disks[i].device,
			    parent->disks[i].device, error);
	return rc;
}

/* `path` with ".NAME" after it. */
static int
path_of_fork(char **path, const char *name, struct lf_error *error)
{
	size_t size = strlen(*path) + 1 + strlen(name) + 1;
	char *derived = sys.malloc(size);

	if (derived == NULL)
		return error_nomem(error);
	snprintf(derived, size, "%s.%s", *path, name);
	free(*path);
	*path = derived;
	return 0;
}

/* A network of its own, with the parent's forwarded ports on free ones. */
static void
network_of_fork(struct lf_network *network)
{
	network->type = LF_NETWORK_USER;
	free(take_ptr(network->interface));
	for (size_t i = 0; i < network->forward_count; i++) {
		free(take_ptr(network->forwards[i].address));
		network->forwards[i].host_port = 0;
	}
}

int
lf_domain_config_derive(const struct lf_domain_config *parent, const char *name,
    struct lf_domain_config **ret_fork, struct lf_error *error)
{
	cleanup(lf_domain_config_free_p) struct lf_domain_config *fork = NULL;
	int rc;

	rc = lf_domain_config_copy(parent, &fork, error);
	if (rc == 0)
		rc = lf_domain_config_set(&fork->name, name, error);
	if (rc == 0 && fork->serial.path != NULL)
		rc = path_of_fork(&fork->serial.path, name, error);
	if (rc < 0)
		return rc;
	free(take_ptr(fork->graphics.socket));
	free(take_ptr(fork->graphics.address));
	fork->graphics.port = 0;
	for (size_t i = 0; i < fork->network_count; i++)
		network_of_fork(&fork->networks[i]);
	*ret_fork = take_ptr(fork);
	return 0;
}
