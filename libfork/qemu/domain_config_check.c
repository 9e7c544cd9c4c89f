/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a configuration makes sense. The only place that knows limits and
 * what excludes what: every syntax and forkd itself ask here.
 */
#include <libfork/domain_config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/un.h>

#include "base/error.h"
#include "qemu/domain_config_table.h"

/* What is being looked at, for the answer. */
struct check {
	const struct lf_domain_config *config;
	size_t index; /* in a list */
	struct lf_error *error;
};

#define no(check, ...) error_set((check)->error, EINVAL, __VA_ARGS__)

/*
 * Length of the UTF-8 sequence at `s`; 0 when it is none (RFC 3629), or one
 * that XML cannot have (U+FFFE, U+FFFF).
 */
static size_t
utf8_len(const unsigned char *s)
{
	size_t len;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		len = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		len = 4;
	else
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f) ||
	    (s[0] == 0xef && s[1] == 0xbf && s[2] >= 0xbe))
		return 0;
	return len;
}

/* A string of at most `max` bytes, printable UTF-8. NULL is fine. */
static int
check_text(const struct check *c, const char *what, const char *s, size_t max)
{
	size_t len;

	if (s == NULL)
		return 0;
	if (strlen(s) > max)
		return no(c, "%s is longer than %zu bytes", what, max);
	for (; *s != '\0'; s += len) {
		len = utf8_len((const unsigned char *)s);
		if (len == 0)
			return no(c, "%s is not UTF-8", what);
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return no(c, "%s has a control character", what);
	}
	return 0;
}

static int
check_path(const struct check *c, const char *what, const char *path)
{
	if (path != NULL && path[0] == '\0')
		return no(c, "%s is empty", what);
	return check_text(c, what, path, LF_PATH_MAX);
}

static int
check_socket(const struct check *c, const char *path)
{
	struct sockaddr_un address;

	if (path != NULL && strlen(path) >= sizeof(address.sun_path))
		return no(c,
		    "'%s' is too long for a unix socket, whose path has at "
		    "most %zu bytes",
		    path, sizeof(address.sun_path) - 1);
	return check_path(c, "the socket's path", path);
}

static int
check_address(const struct check *c, const char *address)
{
	struct in_addr in;

	if (address != NULL && inet_pton(AF_INET, address, &in) != 1)
		return no(c, "'%s' is not an IPv4 address such as 127.0.0.1",
		    address);
	return 0;
}

static int
check_name(struct check *c)
{
	static const char digits[] = "0123456789";
	static const char letters[] = "0123456789._+-"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz";
	const char *name = c->config->name;

	if (name == NULL || name[0] == '\0')
		return no(c, "a domain needs a name");
	if (strlen(name) > LF_NAME_MAX)
		return no(c, "longer than %d bytes", LF_NAME_MAX);
	if (name[strspn(name, letters)] != '\0' || strchr("._+-", name[0]))
		return no(c,
		    "'%s' may have letters, digits, '.', '_', '+' and '-' "
		    "only, and begins with a letter or digit",
		    name);
	if (name[strspn(name, digits)] == '\0')
		return no(c, "'%s' looks like a domain's id", name);
	return 0;
}

static int
check_memory(struct check *c)
{
	uint64_t bytes = c->config->memory_bytes;

	if (bytes < LF_MEMORY_MIN || bytes > LF_MEMORY_MAX)
		return no(
		    c, "%" PRIu64 " bytes are not from 1M to 4096G", bytes);
	if (bytes % LF_MEMORY_MIN != 0)
		return no(c, "%" PRIu64 " bytes are no multiple of 1M", bytes);
	return 0;
}

static int
check_vcpus(struct check *c)
{
	if (c->config->vcpus < 1 || c->config->vcpus > LF_VCPUS_MAX)
		return no(c, "%u is not from 1 to %d", c->config->vcpus,
		    LF_VCPUS_MAX);
	return 0;
}

static int
check_cpu(struct check *c)
{
	const char *cpu = c->config->cpu;

	if (cpu == NULL)
		return 0;
	if (cpu[0] == '\0')
		return no(c, "it is empty");
	if (cpu[0] == ' ' || cpu[strlen(cpu) - 1] == ' ')
		return no(c, "a space before or after it");
	return check_text(c, "it", cpu, LF_CPU_MAX);
}

static int
check_kernel(struct check *c)
{
	return check_path(c, "the path", c->config->kernel);
}

static int
check_ramdisk(struct check *c)
{
	if (c->config->ramdisk != NULL && c->config->kernel == NULL)
		return no(c, "only together with a kernel");
	return check_path(c, "the path", c->config->ramdisk);
}

static int
check_cmdline(struct check *c)
{
	if (c->config->cmdline != NULL && c->config->kernel == NULL)
		return no(c, "only together with a kernel");
	if (c->config->cmdline != NULL && c->config->cmdline[0] == '\0')
		return no(c, "it is empty");
	return check_text(c, "it", c->config->cmdline, LF_CMDLINE_MAX);
}

static int
check_firmware(struct check *c)
{
	const struct lf_firmware *firmware = &c->config->firmware;
	int rc;

	if (firmware->type == LF_FIRMWARE_DEFAULT && firmware->path != NULL)
		return no(
		    c, "'%s' has no type (rom or pflash)", firmware->path);
	if (firmware->type != LF_FIRMWARE_DEFAULT && firmware->path == NULL)
		return no(c, "no path given");
	if (firmware->nvram != NULL && firmware->type != LF_FIRMWARE_PFLASH)
		return no(c, "variables ('%s') need firmware of type pflash",
		    firmware->nvram);
	rc = check_path(c, "the path", firmware->path);
	if (rc == 0)
		rc = check_path(c, "the variables' path", firmware->nvram);
	return rc;
}

static int
check_disk_device(const struct check *c, const char *device)
{
	const struct lf_disk *disks = c->config->disks;

	if (device == NULL)
		return 0;
	if (strlen(device) != 3 || strncmp(device, "vd", 2) != 0 ||
	    device[2] < 'a' || device[2] >= 'a' + LF_DISKS_MAX)
		return no(c,
		    "device '%s' is not from vda to vd%c (disks are "
		    "virtio-blk)",
		    device, 'a' + LF_DISKS_MAX - 1);
	for (size_t i = 0; i < c->index; i++)
		if (disks[i].device != NULL &&
		    strcmp(disks[i].device, device) == 0)
			return no(c, "device %s is given twice", device);
	return 0;
}

static int
check_disk(struct check *c)
{
	const struct lf_disk *disks = c->config->disks;
	const struct lf_disk *disk = &disks[c->index];

	if (disk->path == NULL)
		return no(c, "no path given");
	for (size_t i = 0; i < c->index; i++)
		if (strcmp(disks[i].path, disk->path) == 0 &&
		    !(disks[i].read_only && disk->read_only))
			return no(c,
			    "'%s' is given twice and not read-only both times",
			    disk->path);
	if (check_disk_device(c, disk->device) < 0)
		return -EINVAL;
	return check_path(c, "the path", disk->path);
}

static bool
same_host_port(const struct lf_forward *one, const struct lf_forward *other)
{
	const char *a = one->address != NULL ? one->address : "127.0.0.1";
	const char *b = other->address != NULL ? other->address : "127.0.0.1";

	return one->host_port != 0 && one->host_port == other->host_port &&
	       one->protocol == other->protocol && strcmp(a, b) == 0;
}

static int
check_forwards(const struct check *c, const struct lf_network *network)
{
	for (size_t i = 0; i < network->forward_count; i++) {
		const struct lf_forward *forward = &network->forwards[i];

		if (check_address(c, forward->address) < 0)
			return -EINVAL;
		if (forward->guest_port == 0)
			return no(c, "the guest has no port 0 to forward to");
		for (size_t k = 0; k < i; k++)
			if (same_host_port(forward, &network->forwards[k]))
				return no(c, "port %u is forwarded twice",
				    forward->host_port);
	}
	return 0;
}

static int
check_user(const struct check *c, const struct lf_network *network)
{
	if (network->interface != NULL)
		return no(
		    c, "a user network has no tap ('%s')", network->interface);
	return check_forwards(c, network);
}

static int
check_tap(const struct check *c, const struct lf_network *network)
{
	if (network->interface == NULL || network->interface[0] == '\0')
		return no(c, "no tap named");
	if (network->forward_count > 0 || network->restrict_guest)
		return no(c, "a tap cannot forward ports or restrict");
	if (strlen(network->interface) > LF_INTERFACE_MAX ||
	    strpbrk(network->interface, "/ :,%") != NULL)
		return no(c, "'%s' is not a name of a network interface",
		    network->interface);
	return check_text(c, "the tap", network->interface, LF_INTERFACE_MAX);
}

static int
check_network(struct check *c)
{
	const struct lf_network *networks = c->config->networks;
	const struct lf_network *network = &networks[c->index];
	char mac[LF_MAC_STRING_SIZE];

	if (network->mac.set) {
		lf_mac_format(&network->mac, mac);
		if ((network->mac.bytes[0] & 1) != 0)
			return no(c, "%s is a multicast address", mac);
		for (size_t i = 0; i < c->index; i++)
			if (networks[i].mac.set &&
			    memcmp(networks[i].mac.bytes, network->mac.bytes,
				sizeof(network->mac.bytes)) == 0)
				return no(c, "%s is given twice", mac);
	}
	if (network->type == LF_NETWORK_TAP)
		return check_tap(c, network);
	return check_user(c, network);
}

static int
check_serial(struct check *c)
{
	const struct lf_serial *serial = &c->config->serial;
	bool has_path =
	    serial->type == LF_SERIAL_FILE || serial->type == LF_SERIAL_SOCKET;

	if (has_path && serial->path == NULL)
		return no(c, "no path given");
	if (!has_path && serial->path != NULL)
		return no(
		    c, "only a file or socket has a path ('%s')", serial->path);
	if (serial->type == LF_SERIAL_SOCKET)
		return check_socket(c, serial->path);
	return check_path(c, "the path", serial->path);
}

static int
check_graphics(struct check *c)
{
	const struct lf_graphics *graphics = &c->config->graphics;

	if (graphics->type == LF_GRAPHICS_NONE &&
	    (graphics->socket != NULL || graphics->address != NULL ||
		graphics->port != 0))
		return no(c, "a socket, address or port, but no VNC");
	if (graphics->socket != NULL && graphics->address != NULL)
		return no(c, "either a unix socket or an address");
	if (graphics->address == NULL && graphics->port != 0)
		return no(c, "a port, but no address");
	if (graphics->address != NULL && graphics->port < LF_VNC_PORT_MIN)
		return no(
		    c, "port %u is below %d", graphics->port, LF_VNC_PORT_MIN);
	if (check_address(c, graphics->address) < 0)
		return -EINVAL;
	return check_socket(c, graphics->socket);
}

static int
check_vmgenid(struct check *c)
{
	if (c->config->vmgenid.value.set && !c->config->vmgenid.present)
		return no(c, "an id, but no device");
	return 0;
}

static int
check_qemu_arg(struct check *c)
{
	const char *arg = c->config->qemu_args[c->index];

	if (arg == NULL)
		return no(c, "no argument");
	return check_text(c, "it", arg, LF_QEMU_ARG_MAX);
}

/*
 * Enumerators that exist and lists that are not too long: what the JSON form
 * cannot have, but a caller who fills the structure can.
 */
static int
check_shape(struct check *c, const struct config_type *type, const void *object)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < type->count; i++) {
		const struct config_field *field = &type->fields[i];
		const void *at = config_at(object, field->offset);
		unsigned names = 0;
		size_t count = 0;

		if (field->kind == CONFIG_ENUM) {
			while (field->names[names] != NULL)
				names++;
			if (*(const unsigned *)at >= names)
				return no(c, "%s has the unknown value %u",
				    field->name, *(const unsigned *)at);
		}
		if (field->kind == CONFIG_LIST || field->kind == CONFIG_STRINGS)
			count = *config_count(field, object);
		if (count > field->max && count > 0)
			return no(c, "%zu %s, more than %zu", count,
			    field->name, (size_t)field->max);
		if (field->kind == CONFIG_STRUCT)
			rc = check_shape(c, field->type, at);
		for (size_t k = 0;
		     rc == 0 && field->kind == CONFIG_LIST && k < count; k++)
			rc = check_shape(
			    c, field->type, config_element(field, object, k));
	}
	return rc;
}

#define SINGLE SIZE_MAX
static const struct {
	const char *key;
	int (*check)(struct check *check);
	size_t count_offset; /* of a list: checked once for every element */
} checks[] = {
    {"name", check_name, SINGLE},
    {"memory", check_memory, SINGLE},
    {"vcpus", check_vcpus, SINGLE},
    {"cpu", check_cpu, SINGLE},
    {"kernel", check_kernel, SINGLE},
    {"ramdisk", check_ramdisk, SINGLE},
    {"cmdline", check_cmdline, SINGLE},
    {"firmware", check_firmware, SINGLE},
    {"disks", check_disk, offsetof(struct lf_domain_config, disk_count)},
    {"networks", check_network,
	offsetof(struct lf_domain_config, network_count)},
    {"serial", check_serial, SINGLE},
    {"graphics", check_graphics, SINGLE},
    {"vmgenid", check_vmgenid, SINGLE},
    {"qemu_args", check_qemu_arg,
	offsetof(struct lf_domain_config, qemu_arg_count)},
};

int
lf_domain_config_check_at(const struct lf_domain_config *config,
    const char **ret_key, size_t *ret_index, struct lf_error *error)
{
	struct check c = {.config = config, .error = error};

	*ret_index = 0;
	for (size_t i = 0; i < config_type.count; i++) {
		struct config_type row = {
		    .fields = &config_type.fields[i], .count = 1};

		*ret_key = config_type.fields[i].name;
		if (check_shape(&c, &row, config) < 0)
			return -EINVAL;
	}
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		size_t count = 1;

		if (checks[i].count_offset != SINGLE)
			count = *(const size_t *)config_at(
			    config, checks[i].count_offset);
		*ret_key = checks[i].key;
		for (c.index = 0; c.index < count; c.index++) {
			*ret_index = c.index;
			if (checks[i].check(&c) < 0)
				return -EINVAL;
		}
	}
	return 0;
}

int
lf_domain_config_check(
    const struct lf_domain_config *config, struct lf_error *error)
{
	const char *key;
	size_t index;
	int rc;

	rc = lf_domain_config_check_at(config, &key, &index, error);
	if (rc < 0 &&
	    (strcmp(key, "disks") == 0 || strcmp(key, "networks") == 0 ||
		strcmp(key, "qemu_args") == 0))
		return error_prefix(error, rc, "%s[%zu]", key, index);
	if (rc < 0)
		return error_prefix(error, rc, "%s", key);
	return 0;
}
