/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Linux test guest under QEMU, for tests that look into it: its RAM
 * mapped, its agent answering on the serial line, a QMP connection, and a
 * port through which the guest hands over whole files. Under TCG, or under
 * KVM when the environment says LF_GUEST_ACCEL=kvm (the lab). Functions fail
 * the test themselves.
 */
#ifndef TESTS_TCG_LINUX_GUEST_H
#define TESTS_TCG_LINUX_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "qemu/qmp.h"

#define LINUX_GUEST_RAM (192U << 20)

struct linux_guest {
	pid_t pid;
	struct qmp *qmp;
	int serial;      /* the agent's line */
	int ram_fd;      /* all of it: gpa is the offset */
	uint8_t *ram;    /* mapped, shared with QEMU */
	char dir[64];    /* temporary, removed at the end */
	char line[8192]; /* received from the serial line */
	size_t len;
	unsigned next_id;
};

bool linux_guest_on_kvm(void);

/* Boots it and waits for the agent; `append` may be "". */
void linux_guest_start(
    struct linux_guest *guest, unsigned vcpus, const char *append);

/* Ends QEMU, however the guest is, and removes the files. */
void linux_guest_stop(struct linux_guest *guest);

/*
 * Runs a command in the guest; its output (lines with newlines) is cut to
 * `size`. Returns the exit status.
 */
int linux_guest_run(
    struct linux_guest *guest, const char *command, char *buf, size_t size);

/* Sends a command without waiting for its answer. */
void linux_guest_send(struct linux_guest *guest, const char *command);

/* What the serial line has, within `timeout_ms` of silence, into `buf`. */
void linux_guest_output(
    struct linux_guest *guest, int timeout_ms, char *buf, size_t size);

/* A file of the guest, whole; the caller frees it. */
char *linux_guest_file(
    struct linux_guest *guest, const char *path, size_t *ret_len);

#endif
