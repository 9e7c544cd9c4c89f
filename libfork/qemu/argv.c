/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Builds QEMU's argument vector. What makes up the guest's hardware (machine,
 * devices with their ids and PCI addresses, sizes) depends on nothing but the
 * configuration, so that a parent and its forks have it in common: the device
 * state of one is loaded into the other. What may differ is behind it: files,
 * networks, consoles.
 *
 * Files come as fdsets, which QEMU's block and character layers open by the
 * name /dev/fdset/N; kernel, ramdisk, ROM image and guest memory are opened by
 * code that knows no fdsets, through /proc/self/fd/N.
 */
#include <libfork/qemu.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "qemu/argv_list.h"

/*
 * PCI slots of bus 0. Slot 1 on pc is the PIIX, slot 0x1f on q35 the ICH9;
 * slots without a name are left for devices in the extra arguments.
 */
#define SLOT_VIDEO   0x02
#define SLOT_NETWORK 0x03 /* and the three after it */
#define SLOT_RNG     0x08
#define SLOT_DISK    0x10 /* vda, and so on up to vdl */

_Static_assert(SLOT_NETWORK + LF_NETWORKS_MAX <= SLOT_RNG, "PCI slots");
_Static_assert(SLOT_DISK + LF_DISKS_MAX <= 0x1f, "PCI slots");

/*
 * CPUs where the configuration names none. Five-level page tables make every
 * page walk of TCG longer: with them Linux boots in 1.4 times the time.
 */
#define CPU_KVM "host"
#define CPU_TCG "max,la57=off"

struct build {
	struct argv_list list;
	const struct lf_domain_config *config;
	const struct lf_qemu_argv_options *options;
	enum lf_accelerator accelerator;
	const char *bus;
	struct lf_error *error;
};

static void
add_identity(struct build *b)
{
	char uuid[LF_UUID_STRING_SIZE];

	argv_option(
	    &b->list, "-name", "guest=%s,debug-threads=on", b->config->name);
	if (b->config->uuid.set) {
		lf_uuid_format(&b->config->uuid, uuid);
		argv_option(&b->list, "-uuid", "%s", uuid);
	}
	argv_add(&b->list, "-nodefaults");
	argv_add(&b->list, "-no-user-config");
	argv_add(&b->list, "-only-migratable");
	argv_option(&b->list, "-sandbox",
	    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,"
	    "resourcecontrol=deny");
}

static void
add_machine(struct build *b)
{
	const struct lf_domain_config *config = b->config;
	bool flash =
	    config->firmware.type == LF_FIRMWARE_PFLASH && !b->options->probe;
	const char *cpu = config->cpu;

	argv_option(&b->list, "-machine",
	    "%s%s,usb=off,vmport=off,dump-guest-core=off,mem-merge=off%s%s",
	    lf_machine_name(config->machine),
	    b->options->probe ? "" : ",memory-backend=" LF_QEMU_RAM_ID,
	    flash ? ",pflash0=flash0" : "",
	    flash && config->firmware.nvram != NULL ? ",pflash1=flash1" : "");
	argv_option(
	    &b->list, "-accel", "%s", lf_accelerator_name(b->accelerator));
	if (cpu == NULL)
		cpu = b->accelerator == LF_ACCELERATOR_KVM ? CPU_KVM : CPU_TCG;
	argv_option(&b->list, "-cpu", "%s", cpu);
	argv_option(&b->list, "-smp", "cpus=%u,sockets=1,cores=%u,threads=1",
	    config->vcpus, config->vcpus);
}

static void
add_memory(struct build *b)
{
	uint64_t bytes = b->config->memory_bytes;
	int fd;

	fd =
	    argv_add_fd(&b->list, LF_QEMU_FD_RAM, NULL, O_RDWR, "guest memory");
	argv_fd_is_reopened(&b->list);
	argv_option(&b->list, "-m", "size=%" PRIu64 "M", bytes >> 20);
	argv_option(&b->list, "-object",
	    "memory-backend-file,id=" LF_QEMU_RAM_ID ",size=%" PRIu64
	    ",mem-path=/proc/self/fd/%d,share=%s",
	    bytes, fd, b->options->share_ram ? "on" : "off");
}

static void
add_monitor(struct build *b)
{
	int fd =
	    argv_add_fd(&b->list, LF_QEMU_FD_QMP, NULL, O_RDWR, "QMP socket");

	argv_option(&b->list, "-chardev", "socket,id=qmp,fd=%d", fd);
	argv_option(&b->list, "-mon", "chardev=qmp,mode=control");
	if (b->options->paused)
		argv_add(&b->list, "-S");
	if (b->options->incoming)
		argv_option(&b->list, "-incoming", "defer");
}

/* A file that QEMU opens by a path of its own: /proc/self/fd/N. */
static void
add_loaded(
    struct build *b, const char *option, const char *path, const char *what)
{
	int fd;

	if (path == NULL)
		return;
	fd = argv_add_fd(&b->list, LF_QEMU_FD_FILE, path, O_RDONLY, "%s", what);
	argv_fd_is_reopened(&b->list);
	argv_option(&b->list, option, "/proc/self/fd/%d", fd);
}

static void
add_kernel(struct build *b)
{
	const struct lf_domain_config *config = b->config;

	add_loaded(b, "-kernel", config->kernel, "kernel");
	add_loaded(b, "-initrd", config->ramdisk, "ramdisk");
	if (config->cmdline != NULL)
		argv_option(&b->list, "-append", "%s", config->cmdline);
}

/* A file as an fdset, whose number is that of the descriptor. */
static int
add_fdset(struct build *b, const char *path, int flags, const char *what,
    size_t layer)
{
	int fd;

	if (layer == 0)
		fd = argv_add_fd(
		    &b->list, LF_QEMU_FD_FILE, path, flags, "%s", what);
	else
		fd = argv_add_fd(&b->list, LF_QEMU_FD_FILE, path, flags,
		    "%s, layer %zu", what, layer);
	argv_option(&b->list, "-add-fd", "fd=%d,set=%d", fd, fd);
	return fd;
}

/*
 * A chain of files as block nodes, the lowest first because the others refer
 * to it. The top one is called `name`, the ones below NAME-1, NAME-2, each
 * with its protocol node NAME-file. "backing": null stands for the end, lest
 * QEMU open what the image's header names.
 */
static int
add_chain(struct build *b, const struct lf_qemu_chain *chain, bool read_only,
    const char *name, const char *what)
{
	for (size_t layer = chain->count; layer-- > 0;) {
		const struct lf_qemu_layer *l = &chain->layers[layer];
		bool writes = layer == 0 && !read_only;
		bool below = layer + 1 < chain->count;
		char node[24], backing[48] = "";
		int fd;

		if (l->path == NULL || l->path[0] != '/')
			return error_set(b->error, EINVAL,
			    "%s: layer %zu has no absolute path", what, layer);
		if (below && l->format != LF_DISK_QCOW2)
			return error_set(b->error, EINVAL,
			    "%s: layer %zu ('%s') is raw and cannot have a "
			    "backing file",
			    what, layer, l->path);
		snprintf(node, sizeof(node), layer == 0 ? "%s" : "%s-%zu", name,
		    layer);
		if (below)
			snprintf(backing, sizeof(backing),
			    ",\"backing\":\"%s-%zu\"", name, layer + 1);
		else if (l->format == LF_DISK_QCOW2)
			snprintf(backing, sizeof(backing), ",\"backing\":null");
		fd = add_fdset(
		    b, l->path, writes ? O_RDWR : O_RDONLY, what, layer);
		argv_option(&b->list, "-blockdev",
		    "{\"driver\":\"%s\",\"node-name\":\"%s-file\","
		    "\"filename\":\"/dev/fdset/%d\",\"read-only\":%s}",
		    l->block_device ? "host_device" : "file", node, fd,
		    writes ? "false" : "true");
		argv_option(&b->list, "-blockdev",
		    "{\"driver\":\"%s\",\"node-name\":\"%s\","
		    "\"file\":\"%s-file\",\"read-only\":%s%s}",
		    lf_disk_format_name(l->format), node, node,
		    writes ? "false" : "true", backing);
	}
	return 0;
}

/* The chain that was given, or `file` alone where none was. */
static int
add_image(struct build *b, const struct lf_qemu_chain *given,
    const struct lf_qemu_layer *file, bool read_only, const char *name,
    const char *what)
{
	struct lf_qemu_chain alone = {.layers = file, .count = 1};

	if (given == NULL || given->count == 0)
		given = &alone;
	if (given->count > LF_QEMU_LAYERS_MAX)
		return error_set(b->error, EINVAL,
		    "%s: a chain of %zu images, more than %d", what,
		    given->count, LF_QEMU_LAYERS_MAX);
	return add_chain(b, given, read_only, name, what);
}

static int
add_firmware(struct build *b)
{
	const struct lf_firmware *firmware = &b->config->firmware;
	const struct lf_qemu_layer code = {.path = firmware->path};
	const struct lf_qemu_layer nvram = {.path = firmware->nvram};
	int rc = 0;

	if (firmware->type == LF_FIRMWARE_ROM)
		add_loaded(b, "-bios", firmware->path, "firmware");
	if (firmware->type == LF_FIRMWARE_PFLASH)
		rc = add_image(b, NULL, &code, true, "flash0", "firmware");
	if (rc == 0 && firmware->nvram != NULL)
		rc = add_image(b, b->options->nvram, &nvram, false, "flash1",
		    "firmware variables");
	return rc;
}

static int
add_disks(struct build *b)
{
	for (size_t i = 0; i < b->config->disk_count; i++) {
		const struct lf_disk *disk = &b->config->disks[i];
		const struct lf_qemu_chain *chains = b->options->disks;
		const struct lf_qemu_layer file = {
		    .path = disk->path, .format = disk->format};
		char what[16];
		unsigned place;
		int rc;

		if (disk->device == NULL)
			return error_set(b->error, EINVAL,
			    "disks[%zu]: its place is not settled", i);
		place = (unsigned)(disk->device[2] - 'a');
		snprintf(what, sizeof(what), "disk %.3s", disk->device);
		rc = add_image(b, chains != NULL ? &chains[i] : NULL, &file,
		    disk->read_only, disk->device, what);
		if (rc < 0)
			return rc;
		argv_option(&b->list, "-device",
		    "virtio-blk-pci,id=disk-%s,drive=%s,bus=%s,addr=0x%x,"
		    "bootindex=%u",
		    disk->device, disk->device, b->bus, SLOT_DISK + place,
		    place + 1);
	}
	return 0;
}

static void
add_forward(char *buf, size_t size, const struct lf_forward *forward)
{
	size_t used = strlen(buf);

	snprintf(buf + used, size - used, ",hostfwd=%s:%s:%u-:%u",
	    forward->protocol == LF_PROTOCOL_UDP ? "udp" : "tcp",
	    forward->address != NULL ? forward->address : "127.0.0.1",
	    forward->host_port, forward->guest_port);
}

static void
add_networks(struct build *b)
{
	for (size_t i = 0; i < b->config->network_count; i++) {
		const struct lf_network *network = &b->config->networks[i];
		char forwards[LF_FORWARDS_MAX * 48] = "";
		char mac[LF_MAC_STRING_SIZE + 5] = "";

		if (network->type == LF_NETWORK_TAP) {
			int fd = argv_add_fd(&b->list, LF_QEMU_FD_TAP,
			    network->interface, O_RDWR, "tap");

			argv_option(
			    &b->list, "-netdev", "tap,id=net%zu,fd=%d", i, fd);
		} else {
			for (size_t k = 0; k < network->forward_count; k++)
				add_forward(forwards, sizeof(forwards),
				    &network->forwards[k]);
			argv_option(&b->list, "-netdev",
			    "user,id=net%zu,restrict=%s%s", i,
			    network->restrict_guest ? "on" : "off", forwards);
		}
		if (network->mac.set) {
			memcpy(mac, ",mac=", 5);
			lf_mac_format(&network->mac, mac + 5);
		}
		/* No option ROM: a RAM block less, and nobody boots from it. */
		argv_option(&b->list, "-device",
		    "virtio-net-pci,id=nic%zu,netdev=net%zu,bus=%s,addr=0x%zx,"
		    "romfile=%s",
		    i, i, b->bus, SLOT_NETWORK + i, mac);
	}
}

static void
add_serial(struct build *b)
{
	const struct lf_serial *serial = &b->config->serial;
	int fd;

	switch (serial->type) {
	case LF_SERIAL_NONE:
		return;
	case LF_SERIAL_PTY:
		argv_option(&b->list, "-chardev", "pty,id=serial0");
		break;
	case LF_SERIAL_FILE:
		fd = add_fdset(b, serial->path, O_WRONLY | O_CREAT | O_APPEND,
		    "serial port", 0);
		argv_option(&b->list, "-chardev",
		    "file,id=serial0,path=/dev/fdset/%d,append=on", fd);
		break;
	case LF_SERIAL_SOCKET:
		fd = argv_add_fd(&b->list, LF_QEMU_FD_LISTEN, serial->path,
		    O_RDWR, "serial port");
		argv_option(&b->list, "-chardev",
		    "socket,id=serial0,fd=%d,server=on,wait=off", fd);
		break;
	}
	argv_option(
	    &b->list, "-device", "isa-serial,id=com1,chardev=serial0,index=0");
}

static int
add_graphics(struct build *b)
{
	const struct lf_graphics *graphics = &b->config->graphics;
	const char *path = graphics->socket;
	char escaped[2 * LF_PATH_MAX];

	argv_option(&b->list, "-display", "none");
	if (b->config->video == LF_VIDEO_STD)
		argv_option(&b->list, "-device",
		    "VGA,id=video0,bus=%s,addr=0x%x", b->bus, SLOT_VIDEO);
	if (graphics->type == LF_GRAPHICS_NONE)
		return 0;
	if (graphics->address != NULL) {
		argv_option(&b->list, "-vnc", "%s:%u", graphics->address,
		    graphics->port - LF_VNC_PORT_MIN);
		return 0;
	}
	if (path == NULL)
		path = b->options->vnc_socket;
	if (path == NULL || path[0] != '/' ||
	    argv_escape(path, escaped, sizeof(escaped)) < 0)
		return error_set(b->error, EINVAL,
		    "graphics: VNC needs the absolute path of a socket");
	argv_option(&b->list, "-vnc", "unix:%s", escaped);
	return 0;
}

static void
add_small_devices(struct build *b)
{
	const struct lf_vmgenid *vmgenid = &b->config->vmgenid;
	char value[LF_UUID_STRING_SIZE] = "auto";

	if (b->config->rng) {
		argv_option(&b->list, "-object", "rng-builtin,id=random0");
		argv_option(&b->list, "-device",
		    "virtio-rng-pci,id=rng0,rng=random0,bus=%s,addr=0x%x",
		    b->bus, SLOT_RNG);
	}
	if (vmgenid->present) {
		if (vmgenid->value.set)
			lf_uuid_format(&vmgenid->value, value);
		argv_option(
		    &b->list, "-device", "vmgenid,id=vmgenid0,guid=%s", value);
	}
}

/* Paths are opened by a process that may stand somewhere else. */
static int
check_paths(const struct build *b)
{
	const struct lf_domain_config *config = b->config;
	const char *paths[] = {config->kernel, config->ramdisk,
	    config->firmware.path, config->firmware.nvram, config->serial.path};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (paths[i] != NULL && paths[i][0] != '/')
			return error_set(b->error, EINVAL,
			    "'%s' is not an absolute path", paths[i]);
	return 0;
}

static int
choose_accelerator(struct build *b)
{
	b->accelerator = b->config->accelerator;
	if (b->accelerator == LF_ACCELERATOR_AUTO)
		b->accelerator = b->options->accelerator;
	if (b->accelerator == LF_ACCELERATOR_AUTO)
		return error_set(
		    b->error, EINVAL, "accelerator: nobody chose one");
	return 0;
}

/* The probe guest: its firmware in the RAM's place, its words in QMP's. */
static int
add_probe(struct build *b)
{
	int fd;

	fd = argv_add_fd(&b->list, LF_QEMU_FD_RAM, NULL, O_RDONLY, "probe");
	argv_fd_is_reopened(&b->list);
	argv_option(&b->list, "-bios", "/proc/self/fd/%d", fd);
	argv_option(&b->list, "-m", "size=16M");
	fd = argv_add_fd(&b->list, LF_QEMU_FD_QMP, NULL, O_RDWR, "its words");
	argv_option(&b->list, "-chardev", "socket,id=probe,fd=%d", fd);
	argv_option(&b->list, "-device",
	    "isa-debugcon,iobase=0x%x,chardev=probe", LF_QEMU_PROBE_PORT);
	argv_option(&b->list, "-display", "none");
	return b->list.failed ? error_nomem(b->error) : 0;
}

static int
add_all(struct build *b)
{
	int rc;

	add_identity(b);
	if (b->options->probe) {
		add_machine(b);
		return add_probe(b);
	}
	add_machine(b);
	add_memory(b);
	add_monitor(b);
	add_kernel(b);
	rc = add_firmware(b);
	if (rc == 0)
		rc = add_disks(b);
	if (rc < 0)
		return rc;
	add_networks(b);
	add_serial(b);
	rc = add_graphics(b);
	if (rc < 0)
		return rc;
	add_small_devices(b);
	for (size_t i = 0; i < b->config->qemu_arg_count; i++)
		argv_add(&b->list, "%s", b->config->qemu_args[i]);
	return b->list.failed ? error_nomem(b->error) : 0;
}

int
lf_qemu_argv_build(const struct lf_domain_config *config,
    const struct lf_qemu_argv_options *options, struct lf_qemu_argv **ret_argv,
    struct lf_error *error)
{
	struct build b = {
	    .config = config,
	    .options = options,
	    .bus = config->machine == LF_MACHINE_Q35 ? "pcie.0" : "pci.0",
	    .error = error,
	};
	int rc;

	rc = lf_domain_config_check(config, error);
	if (rc == 0)
		rc = check_paths(&b);
	if (rc == 0)
		rc = choose_accelerator(&b);
	if (rc < 0)
		return rc;
	argv_list_init(&b.list);
	argv_add(&b.list, "%s",
	    options->program != NULL ? options->program : LF_QEMU_PROGRAM);
	rc = add_all(&b);
	if (rc == 0)
		*ret_argv = take_ptr(b.list.argv);
	argv_list_done(&b.list);
	return rc;
}
