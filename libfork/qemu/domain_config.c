/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Life of a configuration: made, filled, copied, completed, freed.
 */
#include <libfork/domain_config.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "qemu/domain_config_table.h"

DEFINE_CLEANUP(struct lf_domain_config *, lf_domain_config_free);

struct lf_domain_config *
lf_domain_config_new(void)
{
	struct lf_domain_config *config = sys.calloc(1, sizeof(*config));

	if (config != NULL) {
		config->memory_bytes = UINT64_C(128) << 20;
		config->vcpus = 1;
		config->serial.type = LF_SERIAL_PTY;
	}
	return config;
}

void
lf_domain_config_free(struct lf_domain_config *config)
{
	if (config != NULL) {
		config_type_done(&config_type, config);
		free(config);
	}
}

int
lf_domain_config_set(char **field, const char *value, struct lf_error *error)
{
	char *copy = NULL;

	if (value != NULL && (copy = sys.strdup(value)) == NULL)
		return error_nomem(error);
	free(*field);
	*field = copy;
	return 0;
}

/* One more zeroed element at the end of a list. */
static int
list_add(void *list, size_t *count, size_t size, size_t max, const char *what,
    void *ret_element, struct lf_error *error)
{
	char *grown;

	if (*count >= max)
		return error_set(error, E2BIG, "more than %zu %s", max, what);
	grown = sys.realloc(*(void **)list, (*count + 1) * size);
	if (grown == NULL)
		return error_nomem(error);
	*(void **)list = grown;
	memset(grown + *count * size, 0, size);
	*(void **)ret_element = grown + *count * size;
	++*count;
	return 0;
}

int
lf_domain_config_add_disk(struct lf_domain_config *config,
    struct lf_disk **ret_disk, struct lf_error *error)
{
	return list_add(&config->disks, &config->disk_count, sizeof(**ret_disk),
	    LF_DISKS_MAX, "disks", ret_disk, error);
}

int
lf_domain_config_add_network(struct lf_domain_config *config,
    struct lf_network **ret_network, struct lf_error *error)
{
	return list_add(&config->networks, &config->network_count,
	    sizeof(**ret_network), LF_NETWORKS_MAX, "networks", ret_network,
	    error);
}

int
lf_network_add_forward(struct lf_network *network,
    struct lf_forward **ret_forward, struct lf_error *error)
{
	return list_add(&network->forwards, &network->forward_count,
	    sizeof(**ret_forward), LF_FORWARDS_MAX,
	    "forwarded ports of one network", ret_forward, error);
}

int
lf_domain_config_add_qemu_arg(
    struct lf_domain_config *config, const char *arg, struct lf_error *error)
{
	char **slot = NULL;
	int rc;

	rc = list_add(&config->qemu_args, &config->qemu_arg_count,
	    sizeof(*slot), LF_QEMU_ARGS_MAX, "QEMU arguments", &slot, error);
	if (rc == 0) {
		rc = lf_domain_config_set(slot, arg, error);
		if (rc < 0)
			config->qemu_arg_count--;
	}
	return rc;
}

/* `*to` has the bytes of `*from`, pointers included, and gets its own. */
static int copy_owned(
    const struct config_type *type, void *to, const void *from);

static int
copy_list(const struct config_field *field, void *to, const void *from)
{
	size_t wanted = *config_count(field, from);
	size_t *count = config_count(field, to);
	void **list = config_at(to, field->offset);
	int rc = 0;

	*count = 0;
	*list = NULL;
	if (wanted == 0)
		return 0;
	*list = sys.calloc(wanted, field->type->size);
	if (*list == NULL)
		return -ENOMEM;
	while (rc == 0 && *count < wanted) {
		const void *source = config_element(field, from, *count);
		void *target = config_element(field, to, (*count)++);

		memcpy(target, source, field->type->size);
		rc = copy_owned(field->type, target, source);
	}
	return rc;
}

static int
copy_string(char **to, const char *from)
{
	*to = NULL;
	return lf_domain_config_set(to, from, NULL);
}

static int
copy_strings(const struct config_field *field, void *to, const void *from)
{
	size_t wanted = *config_count(field, from);
	size_t *count = config_count(field, to);
	char ***list = config_at(to, field->offset);
	char **source = *(char ***)config_at(from, field->offset);
	int rc = 0;

	*count = 0;
	*list = NULL;
	if (wanted == 0)
		return 0;
	*list = sys.calloc(wanted, sizeof(**list));
	if (*list == NULL)
		return -ENOMEM;
	for (; rc == 0 && *count < wanted; ++*count)
		rc = copy_string(&(*list)[*count], source[*count]);
	return rc;
}

/*
 * Every pointer of `to` is replaced, also after a failure: what could not be
 * copied is NULL or an empty list, so that `to` can be freed.
 */
static int
copy_owned(const struct config_type *type, void *to, const void *from)
{
	int rc = 0;

	for (size_t i = 0; i < type->count; i++) {
		const struct config_field *field = &type->fields[i];
		void *target = config_at(to, field->offset);
		void *source = config_at(from, field->offset);
		int r = 0;

		switch (field->kind) {
		case CONFIG_STRING:
		case CONFIG_PATH:
			r = copy_string(target, *(char **)source);
			break;
		case CONFIG_STRINGS:
			r = copy_strings(field, to, from);
			break;
		case CONFIG_STRUCT:
			r = copy_owned(field->type, target, source);
			break;
		case CONFIG_LIST:
			r = copy_list(field, to, from);
			break;
		case CONFIG_UUID:
		case CONFIG_MAC:
		case CONFIG_SIZE:
		case CONFIG_UNSIGNED:
		case CONFIG_PORT:
		case CONFIG_ENUM:
		case CONFIG_BOOL:
			break;
		}
		if (r < 0)
			rc = r;
	}
	return rc;
}

int
lf_domain_config_copy(const struct lf_domain_config *config,
    struct lf_domain_config **ret_copy, struct lf_error *error)
{
	cleanup(lf_domain_config_free_p) struct lf_domain_config *copy = NULL;

	copy = sys.malloc(sizeof(*copy));
	if (copy == NULL)
		return error_nomem(error);
	*copy = *config;
	if (copy_owned(&config_type, copy, config) < 0)
		return error_nomem(error);
	*ret_copy = take_ptr(copy);
	return 0;
}

/* A random UUID as RFC 4122 has it: version 4. */
static int
uuid_random(struct lf_uuid *ret_uuid, struct lf_error *error)
{
	ssize_t n;

	n = sys.getrandom(ret_uuid->bytes, sizeof(ret_uuid->bytes), 0);
	if (n < 0)
		return error_sys(error, errno, "cannot make a random UUID");
	ret_uuid->bytes[6] = (ret_uuid->bytes[6] & 0x0f) | 0x40;
	ret_uuid->bytes[8] = (ret_uuid->bytes[8] & 0x3f) | 0x80;
	ret_uuid->set = true;
	return 0;
}

/* 52:54:00, which QEMU's guests have, and 24 bits of hash (FNV-1a). */
static void
mac_from_uuid(const struct lf_uuid *uuid, size_t index, struct lf_mac *ret_mac)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < sizeof(uuid->bytes); i++)
		hash = (hash ^ uuid->bytes[i]) * 16777619u;
	hash = (hash ^ (uint32_t)index) * 16777619u;
	hash ^= hash >> 24;
	*ret_mac = (struct lf_mac){
	    .set = true,
	    .bytes = {0x52, 0x54, 0x00, hash >> 16, hash >> 8, hash},
	};
}

static bool
device_taken(const struct lf_domain_config *config, const char *device)
{
	for (size_t i = 0; i < config->disk_count; i++)
		if (config->disks[i].device != NULL &&
		    strcmp(config->disks[i].device, device) == 0)
			return true;
	return false;
}

int
lf_domain_config_complete(
    struct lf_domain_config *config, struct lf_error *error)
{
	char device[] = "vda";
	int rc;

	if (!config->uuid.set) {
		rc = uuid_random(&config->uuid, error);
		if (rc < 0)
			return rc;
	}
	if (config->vmgenid.present && !config->vmgenid.value.set) {
		rc = uuid_random(&config->vmgenid.value, error);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < config->network_count; i++)
		if (!config->networks[i].mac.set)
			mac_from_uuid(
			    &config->uuid, i, &config->networks[i].mac);
	for (size_t i = 0; i < config->disk_count; i++) {
		if (config->disks[i].device != NULL)
			continue;
		while (device_taken(config, device))
			device[2]++;
		rc = lf_domain_config_set(
		    &config->disks[i].device, device, error);
		if (rc < 0)
			return rc;
	}
	return 0;
}

const char *
lf_machine_name(enum lf_machine machine)
{
	return config_machine_names[machine];
}

const char *
lf_accelerator_name(enum lf_accelerator accelerator)
{
	return config_accelerator_names[accelerator];
}

const char *
lf_disk_format_name(enum lf_disk_format format)
{
	return config_disk_format_names[format];
}

/* Hexadecimal pairs with `separator` before each byte that `before` names. */
static int
parse_hex(const char *text, uint8_t *bytes, size_t count, char separator,
    uint32_t before)
{
	for (size_t i = 0; i < count; i++) {
		char pair[3];

		if ((before >> i & 1) != 0 && *text++ != separator)
			return -EINVAL;
		if (!isxdigit((unsigned char)text[0]) ||
		    !isxdigit((unsigned char)text[1]))
			return -EINVAL;
		memcpy(pair, text, 2);
		pair[2] = '\0';
		bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
		text += 2;
	}
	return *text == '\0' ? 0 : -EINVAL;
}

void
lf_uuid_format(const struct lf_uuid *uuid, char buf[LF_UUID_STRING_SIZE])
{
	const uint8_t *b = uuid->bytes;

	snprintf(buf, LF_UUID_STRING_SIZE,
	    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
	    "%02x%02x%02x%02x%02x%02x",
	    b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10],
	    b[11], b[12], b[13], b[14], b[15]);
}

int
lf_uuid_parse(const char *text, struct lf_uuid *ret_uuid)
{
	struct lf_uuid uuid = {.set = true};
	int rc = parse_hex(text, uuid.bytes, sizeof(uuid.bytes), '-',
	    1u << 4 | 1u << 6 | 1u << 8 | 1u << 10);

	if (rc == 0)
		*ret_uuid = uuid;
	return rc;
}

void
lf_mac_format(const struct lf_mac *mac, char buf[LF_MAC_STRING_SIZE])
{
	const uint8_t *b = mac->bytes;

	snprintf(buf, LF_MAC_STRING_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", b[0],
	    b[1], b[2], b[3], b[4], b[5]);
}

int
lf_mac_parse(const char *text, struct lf_mac *ret_mac)
{
	struct lf_mac mac = {.set = true};
	int rc = parse_hex(text, mac.bytes, sizeof(mac.bytes), ':', 0x3e);

	if (rc == 0)
		*ret_mac = mac;
	return rc;
}
