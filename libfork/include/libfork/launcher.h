/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How libfork gets the programs that it cannot do without: QEMU, and what
 * makes an overlay for a disk. A domain on QEMU asks its launcher for them and
 * never starts anything itself, because the process that it lives in may be
 * one that is not allowed to. forkd's domain processes bring a launcher that
 * asks the daemon; lf_launcher_spawn_new() makes one that starts the programs
 * from this process.
 */
#ifndef LIBFORK_LAUNCHER_H
#define LIBFORK_LAUNCHER_H

#include <sys/types.h>
#include <stdbool.h>
#include <stddef.h>

#include <libfork/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lf_domain_config;
struct lf_qemu_chain; /* <libfork/qemu.h> */

/*
 * What a QEMU is started for. It always starts with its vCPUs stopped,
 * without default devices, its monitor a QMP socket, and sandboxed. Everything
 * here is borrowed for the call.
 */
struct lf_qemu_request {
	/* Complete, the accelerator decided; paths are the domain's own. */
	const struct lf_domain_config *config;
	/* The file that is the guest's RAM, config->memory_bytes long. */
	int ram_fd;
	/* The RAM is the file itself, not a copy-on-write view of it. */
	bool share_ram;
	/* Started to be given a state: waits for migrate-incoming. */
	bool incoming;
	/*
	 * Not the guest but a probe of its CPU (lf_qemu_argv_options.probe):
	 * `ram_fd` is its firmware, qmp_fd of the result what it tells.
	 */
	bool probe;
	/*
	 * The files of each disk, in the configuration's order, and of the
	 * flash variables; NULL: the file that the configuration names. Which
	 * of them are block devices is for the launcher to find out.
	 */
	const struct lf_qemu_chain *disks;
	const struct lf_qemu_chain *nvram;
};

/*
 * A QEMU that was started; it may have died since. All descriptors belong to
 * whoever asked and are close-on-exec; -1 is none.
 */
struct lf_qemu_process {
	pid_t pid;  /* for people to read; signals go through pidfd */
	int pidfd;  /* readable when the process is gone */
	int qmp_fd; /* connected stream socket, greeting still unread */
	/*
	 * What QEMU wrote to its standard error, for pread(2) from 0; may have
	 * NUL bytes at its end. Bounded by the launcher.
	 */
	int log_fd;
};

#define LF_QEMU_PROCESS_NONE \
	((struct lf_qemu_process){.pidfd = -1, .qmp_fd = -1, .log_fd = -1})

/* A disk image on top of another, to be made (qcow2, same virtual size). */
struct lf_overlay_request {
	const char *backing;        /* image that stays as it is */
	const char *backing_format; /* "raw" or "qcow2", never guessed */
	/*
	 * File to make. NULL: the launcher chooses one, and `label` is part of
	 * its name.
	 */
	const char *path;
	const char *label; /* e.g. "d17-disk0"; letters, digits, - and _ */
};

/*
 * The table. Every function gets the launcher itself as first argument, may be
 * called from one thread at a time, bounds its own waiting, and fails with a
 * negative errno and a complete sentence in `error`, leaving nothing behind.
 */
struct lf_launcher {
	void *opaque; /* the implementation's own */

	/* Starts QEMU; does not wait for its greeting. */
	int (*start_qemu)(struct lf_launcher *launcher,
	    const struct lf_qemu_request *request,
	    struct lf_qemu_process *ret_process, struct lf_error *error);

	/*
	 * Ends the process if it still lives (SIGKILL), waits until it is
	 * gone, closes the descriptors and makes `process` none. Nothing
	 * happens with none.
	 */
	void (*end_qemu)(
	    struct lf_launcher *launcher, struct lf_qemu_process *process);

	/*
	 * Makes an overlay. `*ret_path` is the absolute path of the new file;
	 * the caller frees it. An existing file is refused (EEXIST) unless it
	 * is a qcow2 on this very backing image.
	 */
	int (*make_overlay)(struct lf_launcher *launcher,
	    const struct lf_overlay_request *request, char **ret_path,
	    struct lf_error *error);

	/* Removes a file that make_overlay made; a missing one is no error. */
	void (*remove_overlay)(struct lf_launcher *launcher, const char *path);
};

/* For the launcher that starts programs from this process. */
struct lf_launcher_spawn_options {
	const char *qemu;     /* NULL: qemu-system-x86_64 from PATH */
	const char *qemu_img; /* NULL: qemu-img from PATH */
	/*
	 * Where overlays without a path of their own and VNC sockets are
	 * made; NULL: no such overlays, and sockets in /tmp.
	 */
	const char *overlay_dir;
	/*
	 * QEMUs are killed when the thread that started them ends, in
	 * whatever way; for tests and tools with one thread.
	 */
	bool end_with_thread;
};

/*
 * Makes a launcher whose programs are children of this process; without
 * `end_with_thread` they outlive it if their domains are not freed. The
 * directory of overlays has to exist. `options` may be NULL; its strings are
 * copied. Free it after the last domain that uses it.
 */
LF_API int lf_launcher_spawn_new(
    const struct lf_launcher_spawn_options *options,
    struct lf_launcher **ret_launcher, struct lf_error *error);

/* Frees what lf_launcher_spawn_new() made. NULL is allowed. */
LF_API void lf_launcher_spawn_free(struct lf_launcher *launcher);

#ifdef __cplusplus
}
#endif

#endif
