/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The argument vector of a QEMU that runs a domain, and the descriptors that
 * it inherits. Everything that QEMU reads or writes reaches it as an open
 * descriptor, so that a privileged program can open the files and run QEMU as
 * an unprivileged user, in whose reach no file lies.
 *
 * Building is a pure function of its arguments: no file is looked at, nothing
 * is opened, equal arguments give equal vectors.
 */
#ifndef LIBFORK_QEMU_H
#define LIBFORK_QEMU_H

#include <stdbool.h>
#include <stddef.h>

#include <libfork/domain_config.h>
#include <libfork/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LF_QEMU_PROGRAM "qemu-system-x86_64"

/* QOM id of guest memory, also the name of its RAM block in the stream. */
#define LF_QEMU_RAM_ID "ram"

/* Layers of one disk at most: an image, its backing file, and so on. */
#define LF_QEMU_LAYERS_MAX 64

/* One file of a disk. */
struct lf_qemu_layer {
	const char *path;
	enum lf_disk_format format;
	bool block_device; /* a block device, not a regular file */
};

/*
 * All files of a disk, the one the guest writes first, each the backing file
 * of the one before. The chain is complete: QEMU opens nothing that an image's
 * header names.
 */
struct lf_qemu_chain {
	const struct lf_qemu_layer *layers;
	size_t count;
};

/* Where a probe guest writes what it found out. */
#define LF_QEMU_PROBE_PORT 0xe9

/* What the vector depends on beside the configuration. All zero is allowed. */
struct lf_qemu_argv_options {
	const char *program; /* NULL: LF_QEMU_PROGRAM */

	/* KVM or TCG where the configuration says auto; otherwise ignored. */
	enum lf_accelerator accelerator;

	bool share_ram; /* guest memory is the file itself, not a copy of it */
	bool incoming;  /* wait for migrate-incoming */
	bool paused;    /* do not start the vCPUs */

	/*
	 * Not the guest but a probe of its CPU: machine, accelerator, CPU and
	 * vCPUs are the configuration's, the firmware is what stands in the
	 * RAM's place (64 KiB), and what it writes to port LF_QEMU_PROBE_PORT
	 * comes out of the QMP socket.
	 */
	bool probe;

	/*
	 * The disks' files, in the configuration's order, and those of the
	 * flash variables (raw: the firmware's layout, not a disk's). NULL, or
	 * a chain with count 0: one regular file, as the configuration says.
	 */
	const struct lf_qemu_chain *disks;
	const struct lf_qemu_chain *nvram;

	/*
	 * Path of the VNC socket where the configuration names none. Needed
	 * with graphics; QEMU makes this socket itself.
	 */
	const char *vnc_socket;
};

enum lf_qemu_fd_kind {
	LF_QEMU_FD_RAM,  /* the memory file, memory_bytes long */
	LF_QEMU_FD_QMP,  /* one end of a connected stream socket pair */
	LF_QEMU_FD_FILE, /* open `path` with `open_flags` */
	LF_QEMU_FD_TAP,  /* IFF_TAP | IFF_NO_PI | IFF_VNET_HDR of tap `path` */
	LF_QEMU_FD_LISTEN, /* a listening unix stream socket bound to `path` */
};

/* A descriptor that QEMU must find open under `number`. */
struct lf_qemu_fd {
	int number;
	enum lf_qemu_fd_kind kind;
	const char *path; /* borrowed from the vector; NULL for RAM and QMP */
	int open_flags;   /* O_RDWR, or O_WRONLY | O_CREAT | O_APPEND, ... */

	/*
	 * QEMU opens this one again, through /proc/self/fd: its user needs
	 * permission for the file itself (not for the directories above). Who
	 * runs QEMU as another user passes a memfd copy where it has none.
	 */
	bool reopened;

	/* What it is for, in words, for messages: "disk vda", "kernel". */
	char what[32];
};

struct lf_qemu_argv {
	char **argv; /* count elements and NULL after them */
	size_t count;
	struct lf_qemu_fd *fds; /* ascending, from 3 without a gap */
	size_t fd_count;
};

/*
 * The complete vector. -EINVAL when the configuration or an option is not
 * usable (lf_domain_config_check(), absolute paths), -ENOMEM.
 */
LF_API int lf_qemu_argv_build(const struct lf_domain_config *config,
    const struct lf_qemu_argv_options *options, struct lf_qemu_argv **ret_argv,
    struct lf_error *error);
LF_API void lf_qemu_argv_free(struct lf_qemu_argv *argv);

/*
 * The vector as shell text, one option a line, each word quoted where it has
 * to be; descriptors of files as redirections, the others as comments. The
 * caller frees it.
 */
LF_API int lf_qemu_argv_print(
    const struct lf_qemu_argv *argv, char **ret_text, struct lf_error *error);

#ifdef __cplusplus
}
#endif

#endif
