/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rows. Order is the order of the JSON form and of comparisons.
 */
#include "qemu/domain_config_table.h"

#include <stdio.h>
#include <stdlib.h>

/* 0, or a compile error when the member's type is another. */
#define TYPE_IS(s, member, wanted)                                 \
	(0 * sizeof(char[__builtin_types_compatible_p(             \
			     __typeof__(((s *)0)->member), wanted) \
			     ? 1                                   \
			     : -1]))
#define AT(s, member, wanted) \
	.offset = offsetof(s, member) + TYPE_IS(s, member, wanted)
#define COUNT(s, member) \
	.count_offset = offsetof(s, member) + TYPE_IS(s, member, size_t)

#define FIELDS(s, rows)                               \
	{                                             \
		.size = sizeof(s), .fields = (rows),  \
		.count = sizeof(rows) / sizeof(*rows) \
	}

const char *const config_machine_names[] = {
    [LF_MACHINE_PC] = "pc",
    [LF_MACHINE_Q35] = "q35",
    NULL,
};

const char *const config_accelerator_names[] = {
    [LF_ACCELERATOR_AUTO] = "auto",
    [LF_ACCELERATOR_KVM] = "kvm",
    [LF_ACCELERATOR_TCG] = "tcg",
    NULL,
};

const char *const config_disk_format_names[] = {
    [LF_DISK_RAW] = "raw",
    [LF_DISK_QCOW2] = "qcow2",
    NULL,
};

static const char *const firmware_names[] = {
    [LF_FIRMWARE_DEFAULT] = "default",
    [LF_FIRMWARE_ROM] = "rom",
    [LF_FIRMWARE_PFLASH] = "pflash",
    NULL,
};

static const char *const network_names[] = {
    [LF_NETWORK_USER] = "user",
    [LF_NETWORK_TAP] = "tap",
    NULL,
};

static const char *const protocol_names[] = {
    [LF_PROTOCOL_TCP] = "tcp",
    [LF_PROTOCOL_UDP] = "udp",
    NULL,
};

static const char *const serial_names[] = {
    [LF_SERIAL_NONE] = "none",
    [LF_SERIAL_PTY] = "pty",
    [LF_SERIAL_FILE] = "file",
    [LF_SERIAL_SOCKET] = "socket",
    NULL,
};

static const char *const graphics_names[] = {
    [LF_GRAPHICS_NONE] = "none",
    [LF_GRAPHICS_VNC] = "vnc",
    NULL,
};

static const char *const video_names[] = {
    [LF_VIDEO_NONE] = "none",
    [LF_VIDEO_STD] = "std",
    NULL,
};

#define F struct lf_firmware
static const struct config_field firmware_fields[] = {
    {"type", CONFIG_ENUM, AT(F, type, enum lf_firmware_type),
	.names = firmware_names},
    {"path", CONFIG_PATH, AT(F, path, char *), .max = LF_PATH_MAX},
    {"nvram", CONFIG_PATH, AT(F, nvram, char *), .max = LF_PATH_MAX},
};
static const struct config_type firmware_type = FIELDS(F, firmware_fields);
#undef F

#define F struct lf_disk
static const struct config_field disk_fields[] = {
    {"path", CONFIG_PATH, CONFIG_FORK_FREE, AT(F, path, char *),
	.max = LF_PATH_MAX},
    {"format", CONFIG_ENUM, CONFIG_FORK_FREE,
	AT(F, format, enum lf_disk_format), .names = config_disk_format_names},
    {"read_only", CONFIG_BOOL, AT(F, read_only, bool)},
    {"device", CONFIG_STRING, CONFIG_FORK_OPEN, AT(F, device, char *),
	.max = 3},
};
static const struct config_type disk_type = FIELDS(F, disk_fields);
#undef F

#define F struct lf_forward
static const struct config_field forward_fields[] = {
    {"protocol", CONFIG_ENUM, AT(F, protocol, enum lf_protocol),
	.names = protocol_names},
    {"address", CONFIG_STRING, AT(F, address, char *), .max = 15},
    {"host_port", CONFIG_PORT, AT(F, host_port, uint16_t), .max = UINT16_MAX},
    {"guest_port", CONFIG_PORT, AT(F, guest_port, uint16_t), .max = UINT16_MAX},
};
static const struct config_type forward_type = FIELDS(F, forward_fields);
#undef F

#define F struct lf_network
static const struct config_field network_fields[] = {
    {"type", CONFIG_ENUM, CONFIG_FORK_FREE, AT(F, type, enum lf_network_type),
	.names = network_names},
    {"mac", CONFIG_MAC, CONFIG_FORK_OPEN, AT(F, mac, struct lf_mac)},
    {"restrict", CONFIG_BOOL, CONFIG_FORK_FREE, AT(F, restrict_guest, bool)},
    {"forwards", CONFIG_LIST, CONFIG_FORK_FREE,
	AT(F, forwards, struct lf_forward *), COUNT(F, forward_count),
	.max = LF_FORWARDS_MAX, .type = &forward_type},
    {"interface", CONFIG_STRING, CONFIG_FORK_FREE, AT(F, interface, char *),
	.max = LF_INTERFACE_MAX},
};
static const struct config_type network_type = FIELDS(F, network_fields);
#undef F

#define F struct lf_serial
static const struct config_field serial_fields[] = {
    {"type", CONFIG_ENUM, CONFIG_FORK_PRESENCE,
	AT(F, type, enum lf_serial_type), .names = serial_names},
    {"path", CONFIG_PATH, CONFIG_FORK_FREE, AT(F, path, char *),
	.max = LF_PATH_MAX},
};
static const struct config_type serial_type = FIELDS(F, serial_fields);
#undef F

#define F struct lf_graphics
static const struct config_field graphics_fields[] = {
    {"type", CONFIG_ENUM, CONFIG_FORK_FREE, AT(F, type, enum lf_graphics_type),
	.names = graphics_names},
    {"socket", CONFIG_PATH, CONFIG_FORK_FREE, AT(F, socket, char *),
	.max = LF_PATH_MAX},
    {"address", CONFIG_STRING, CONFIG_FORK_FREE, AT(F, address, char *),
	.max = 15},
    {"port", CONFIG_PORT, CONFIG_FORK_FREE, AT(F, port, uint16_t),
	.max = UINT16_MAX},
};
static const struct config_type graphics_type = FIELDS(F, graphics_fields);
#undef F

#define F struct lf_vmgenid
static const struct config_field vmgenid_fields[] = {
    {"present", CONFIG_BOOL, AT(F, present, bool)},
    {"value", CONFIG_UUID, CONFIG_FORK_ASK, AT(F, value, struct lf_uuid)},
};
static const struct config_type vmgenid_type = FIELDS(F, vmgenid_fields);
#undef F

#define F struct lf_domain_config
static const struct config_field config_fields[] = {
    {"name", CONFIG_STRING, CONFIG_FORK_FREE, AT(F, name, char *),
	.max = LF_NAME_MAX},
    {"uuid", CONFIG_UUID, CONFIG_FORK_OPEN, AT(F, uuid, struct lf_uuid)},
    {"memory", CONFIG_SIZE, AT(F, memory_bytes, uint64_t),
	.max = LF_MEMORY_MAX},
    {"vcpus", CONFIG_UNSIGNED, AT(F, vcpus, unsigned), .max = LF_VCPUS_MAX},
    {"cpu", CONFIG_STRING, AT(F, cpu, char *), .max = LF_CPU_MAX},
    {"machine", CONFIG_ENUM, AT(F, machine, enum lf_machine),
	.names = config_machine_names},
    {"accelerator", CONFIG_ENUM, CONFIG_FORK_OPEN,
	AT(F, accelerator, enum lf_accelerator),
	.names = config_accelerator_names},
    {"kernel", CONFIG_PATH, AT(F, kernel, char *), .max = LF_PATH_MAX},
    {"ramdisk", CONFIG_PATH, AT(F, ramdisk, char *), .max = LF_PATH_MAX},
    {"cmdline", CONFIG_STRING, AT(F, cmdline, char *), .max = LF_CMDLINE_MAX},
    {"firmware", CONFIG_STRUCT, AT(F, firmware, struct lf_firmware),
	.type = &firmware_type},
    {"disks", CONFIG_LIST, AT(F, disks, struct lf_disk *), COUNT(F, disk_count),
	.max = LF_DISKS_MAX, .type = &disk_type},
    {"networks", CONFIG_LIST, AT(F, networks, struct lf_network *),
	COUNT(F, network_count), .max = LF_NETWORKS_MAX, .type = &network_type},
    {"serial", CONFIG_STRUCT, AT(F, serial, struct lf_serial),
	.type = &serial_type},
    {"graphics", CONFIG_STRUCT, AT(F, graphics, struct lf_graphics),
	.type = &graphics_type},
    {"video", CONFIG_ENUM, AT(F, video, enum lf_video), .names = video_names},
    {"rng", CONFIG_BOOL, AT(F, rng, bool)},
    {"vmgenid", CONFIG_STRUCT, AT(F, vmgenid, struct lf_vmgenid),
	.type = &vmgenid_type},
    {"qemu_args", CONFIG_STRINGS, AT(F, qemu_args, char **),
	COUNT(F, qemu_arg_count), .max = LF_QEMU_ARGS_MAX},
};
const struct config_type config_type = FIELDS(F, config_fields);
#undef F

void
config_type_done(const struct config_type *type, void *object)
{
	for (size_t i = 0; i < type->count; i++) {
		const struct config_field *field = &type->fields[i];
		void *at = config_at(object, field->offset);

		switch (field->kind) {
		case CONFIG_STRING:
		case CONFIG_PATH:
			free(*(char **)at);
			break;
		case CONFIG_STRINGS:
			for (size_t k = 0; k < *config_count(field, object);
			     k++)
				free((*(char ***)at)[k]);
			free(*(char ***)at);
			break;
		case CONFIG_STRUCT:
			config_type_done(field->type, at);
			break;
		case CONFIG_LIST:
			for (size_t k = 0; k < *config_count(field, object);
			     k++)
				config_type_done(field->type,
				    config_element(field, object, k));
			free(*(void **)at);
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
	}
}

bool
config_is_empty(const struct config_field *field, const void *object)
{
	const void *at = config_at(object, field->offset);

	switch (field->kind) {
	case CONFIG_STRING:
	case CONFIG_PATH:
		return *(char *const *)at == NULL;
	case CONFIG_STRINGS:
	case CONFIG_LIST:
		return *config_count(field, object) == 0;
	case CONFIG_UUID:
		return !((const struct lf_uuid *)at)->set;
	case CONFIG_MAC:
		return !((const struct lf_mac *)at)->set;
	case CONFIG_ENUM:
		return *(const unsigned *)at == 0;
	case CONFIG_SIZE:
	case CONFIG_UNSIGNED:
	case CONFIG_PORT:
	case CONFIG_BOOL:
	case CONFIG_STRUCT:
		break;
	}
	return false;
}

void
config_place_format(
    const struct config_place *place, char buf[CONFIG_PLACE_MAX])
{
	char up[CONFIG_PLACE_MAX] = "";
	char index[24] = "";

	if (place->up != NULL)
		config_place_format(place->up, up);
	if (place->index != CONFIG_NO_INDEX)
		snprintf(index, sizeof(index), "[%zu]", place->index);
	snprintf(buf, CONFIG_PLACE_MAX, "%s%s%.60s%s", up,
	    up[0] != '\0' ? "." : "", place->name, index);
}
