/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a domain is made of: data only, independent of the syntax it was
 * written in. The two syntaxes (xl.cfg and domain XML) are read and printed by
 * the programs; this is what they read into, what travels to forkd as JSON,
 * and what a snapshot remembers of its parent.
 *
 * Every string is the structure's own, allocated with malloc(); NULL means
 * "not given". Functions may be called from any thread, on one structure from
 * one thread at a time.
 */
#ifndef LIBFORK_DOMAIN_CONFIG_H
#define LIBFORK_DOMAIN_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Limits that lf_domain_config_check() enforces. */
#define LF_NAME_MAX         64   /* bytes of a domain's name */
#define LF_PATH_MAX         4095 /* bytes of a path */
#define LF_CMDLINE_MAX      2047 /* x86 Linux takes no more */
#define LF_CPU_MAX          1023
#define LF_INTERFACE_MAX    15 /* bytes of a tap's name: IFNAMSIZ - 1 */
#define LF_VCPUS_MAX        255
#define LF_MEMORY_MIN       (UINT64_C(1) << 20)
#define LF_MEMORY_MAX       (UINT64_C(4) << 40)
#define LF_DISKS_MAX        12
#define LF_NETWORKS_MAX     4
#define LF_FORWARDS_MAX     32 /* of one network */
#define LF_QEMU_ARGS_MAX    64
#define LF_QEMU_ARG_MAX     4095 /* bytes of one */
#define LF_VNC_PORT_MIN     5900
#define LF_UUID_STRING_SIZE 37
#define LF_MAC_STRING_SIZE  18

enum lf_machine {
	LF_MACHINE_PC, /* i440FX; the default */
	LF_MACHINE_Q35,
};

enum lf_accelerator {
	LF_ACCELERATOR_AUTO, /* KVM where it is measured to be worth it */
	LF_ACCELERATOR_KVM,
	LF_ACCELERATOR_TCG,
};

enum lf_firmware_type {
	LF_FIRMWARE_DEFAULT, /* QEMU's own SeaBIOS */
	LF_FIRMWARE_ROM,     /* `path` is a flat image that ends at 4 GiB */
	LF_FIRMWARE_PFLASH,  /* `path` is flash, `nvram` its variables */
};

enum lf_disk_format {
	LF_DISK_RAW,
	LF_DISK_QCOW2,
};

enum lf_network_type {
	LF_NETWORK_USER, /* QEMU's own NAT */
	LF_NETWORK_TAP,
};

enum lf_protocol {
	LF_PROTOCOL_TCP,
	LF_PROTOCOL_UDP,
};

enum lf_serial_type {
	LF_SERIAL_NONE, /* the guest has no serial port */
	LF_SERIAL_PTY,  /* the default */
	LF_SERIAL_FILE,
	LF_SERIAL_SOCKET, /* a listening unix socket */
};

enum lf_graphics_type {
	LF_GRAPHICS_NONE,
	LF_GRAPHICS_VNC,
};

enum lf_video {
	LF_VIDEO_NONE,
	LF_VIDEO_STD, /* QEMU's standard VGA */
};

/* 16 bytes in the order of their printed form. */
struct lf_uuid {
	bool set;
	uint8_t bytes[16];
};

struct lf_mac {
	bool set;
	uint8_t bytes[6];
};

struct lf_firmware {
	enum lf_firmware_type type;
	char *path;
	char *nvram; /* PFLASH only: the variables, written by the guest */
};

/* A virtio-blk disk. */
struct lf_disk {
	char *path;
	enum lf_disk_format format;
	bool read_only;
	char *device; /* "vda" to "vdl": its place; NULL: the first free one */
};

/* host:host_port leads to guest_port of the guest. */
struct lf_forward {
	enum lf_protocol protocol;
	char *address;      /* dotted IPv4; NULL: 127.0.0.1 */
	uint16_t host_port; /* 0: a free one */
	uint16_t guest_port;
};

/* A virtio-net interface. */
struct lf_network {
	enum lf_network_type type;
	struct lf_mac mac;   /* not set: made from the domain's UUID */
	bool restrict_guest; /* USER: the guest reaches nothing outside */
	struct lf_forward *forwards; /* USER */
	size_t forward_count;
	char *interface; /* TAP: the tap's name on the host */
};

struct lf_serial {
	enum lf_serial_type type;
	char *path; /* FILE, SOCKET */
};

struct lf_graphics {
	enum lf_graphics_type type;
	char *socket;  /* VNC: unix socket; NULL: one in the run directory */
	char *address; /* VNC over TCP instead: dotted IPv4 */
	uint16_t port; /* with `address`: LF_VNC_PORT_MIN or above */
};

/* The ACPI device that tells a guest that it is a copy. */
struct lf_vmgenid {
	bool present;
	struct lf_uuid value; /* not set: a random one */
};

struct lf_domain_config {
	char *name;
	struct lf_uuid uuid;   /* not set: a random one */
	uint64_t memory_bytes; /* a multiple of 1 MiB */
	unsigned vcpus;
	char *cpu; /* as QEMU's -cpu; NULL: host on KVM, max,la57=off on TCG */
	enum lf_machine machine;
	enum lf_accelerator accelerator;
	char *kernel; /* boot a kernel directly; the next two only with it */
	char *ramdisk;
	char *cmdline;
	struct lf_firmware firmware;
	struct lf_disk *disks;
	size_t disk_count;
	struct lf_network *networks;
	size_t network_count;
	struct lf_serial serial;
	struct lf_graphics graphics;
	enum lf_video video;
	bool rng;
	struct lf_vmgenid vmgenid;
	char **qemu_args; /* appended to QEMU's arguments as they are */
	size_t qemu_arg_count;
};

/*
 * A configuration with every default: no name, 128 MiB, one vCPU, a pty. NULL
 * when out of memory.
 */
LF_API struct lf_domain_config *lf_domain_config_new(void);

/* Frees everything; NULL and half-filled structures are allowed. */
LF_API void lf_domain_config_free(struct lf_domain_config *config);

/* A deep copy. -ENOMEM is the only error. */
LF_API int lf_domain_config_copy(const struct lf_domain_config *config,
    struct lf_domain_config **ret_copy, struct lf_error *error);

/*
 * Replaces a string of a configuration: `*field` becomes a copy of `value`
 * (NULL: not given). On -ENOMEM the field is as before.
 */
LF_API int lf_domain_config_set(
    char **field, const char *value, struct lf_error *error);

/*
 * Adds an element with its defaults at the end of a list. -E2BIG when the list
 * is full, -ENOMEM. `*ret_element` is valid until the list grows again.
 */
LF_API int lf_domain_config_add_disk(struct lf_domain_config *config,
    struct lf_disk **ret_disk, struct lf_error *error);
LF_API int lf_domain_config_add_network(struct lf_domain_config *config,
    struct lf_network **ret_network, struct lf_error *error);
LF_API int lf_network_add_forward(struct lf_network *network,
    struct lf_forward **ret_forward, struct lf_error *error);
LF_API int lf_domain_config_add_qemu_arg(
    struct lf_domain_config *config, const char *arg, struct lf_error *error);

/*
 * Whether the configuration is one that a domain can be made of: a name,
 * values within their limits, nothing that contradicts itself. -EINVAL, and
 * the message begins with the key in question.
 */
LF_API int lf_domain_config_check(
    const struct lf_domain_config *config, struct lf_error *error);

/*
 * The same for who knows where a key was written: the message is without the
 * key, which is in `*ret_key` (a member's name of the JSON form, static), with
 * the element of a list in `*ret_index`.
 */
LF_API int lf_domain_config_check_at(const struct lf_domain_config *config,
    const char **ret_key, size_t *ret_index, struct lf_error *error);

/*
 * Fills in what was left open and must stay the same from now on: UUID, MAC
 * addresses (from the UUID), the generation id, the disks' places. For who
 * creates a domain, after lf_domain_config_check().
 */
LF_API int lf_domain_config_complete(
    struct lf_domain_config *config, struct lf_error *error);

/*
 * The configuration as one JSON object; the caller frees the text. Strings and
 * identities that are not given are left out. -EINVAL when a string is not
 * UTF-8.
 */
LF_API int lf_domain_config_to_json(const struct lf_domain_config *config,
    char **ret_text, struct lf_error *error);

/*
 * Reads the JSON form, which may come from anybody: every member, type and
 * limit is checked (-EINVAL), lf_domain_config_check() is part of it, and
 * every path has to be absolute, because the JSON form is what goes from one
 * process to another.
 */
LF_API int lf_domain_config_from_json(const char *text, size_t len,
    struct lf_domain_config **ret_config, struct lf_error *error);

/*
 * Whether `fork` may be the configuration of a fork of a domain made from
 * `parent`. Name, disk paths and formats, the other end of each network and of
 * the serial port, and graphics may differ; a UUID, MAC address, generation id
 * or accelerator that `fork` leaves open is the parent's; a generation id may
 * be given to change it. Anything else is in the frozen guest and cannot
 * differ: -EINVAL, naming the key and both values.
 */
LF_API int lf_domain_config_check_fork(const struct lf_domain_config *parent,
    const struct lf_domain_config *fork, struct lf_error *error);

/*
 * After lf_domain_config_check_fork(): gives `fork` what it left open and has
 * from its parent. -ENOMEM is the only error.
 */
LF_API int lf_domain_config_inherit(struct lf_domain_config *fork,
    const struct lf_domain_config *parent, struct lf_error *error);

/*
 * The configuration of a fork for which none was given: the parent's, with
 * `name`; a serial file or socket gets ".NAME" after its path, VNC is a socket
 * in the run directory, a tap becomes a user network, forwarded ports are free
 * ones on the loopback interface. Disk paths are still the parent's.
 */
LF_API int lf_domain_config_derive(const struct lf_domain_config *parent,
    const char *name, struct lf_domain_config **ret_fork,
    struct lf_error *error);

/*
 * Names of the enumerators, as configurations write them; static storage.
 */
LF_API const char *lf_machine_name(enum lf_machine machine);
LF_API const char *lf_accelerator_name(enum lf_accelerator accelerator);
LF_API const char *lf_disk_format_name(enum lf_disk_format format);

/*
 * "12345678-9abc-def0-1234-56789abcdef0" and "52:54:00:12:34:56". Parsing
 * takes upper case, too, and returns -EINVAL on anything else.
 */
LF_API void lf_uuid_format(
    const struct lf_uuid *uuid, char buf[LF_UUID_STRING_SIZE]);
LF_API int lf_uuid_parse(const char *text, struct lf_uuid *ret_uuid);
LF_API void lf_mac_format(
    const struct lf_mac *mac, char buf[LF_MAC_STRING_SIZE]);
LF_API int lf_mac_parse(const char *text, struct lf_mac *ret_mac);

#ifdef __cplusplus
}
#endif

#endif
