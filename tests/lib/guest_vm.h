/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What tests with a booted guest have in common: a directory that goes with
 * the test, configurations of the test guests, and their consoles. Everything
 * here fails the test when it fails.
 */
#ifndef TESTS_LIB_GUEST_VM_H
#define TESTS_LIB_GUEST_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/domain.h>
#include <libfork/domain_config.h>
#include <libfork/fork_options.h>
#include <libfork/launcher.h>
#include <libfork/snapshot.h>

#include "base/cleanup.h"
#include "guest/pattern.h"

DEFINE_CLEANUP(struct lf_domain_config *, lf_domain_config_free);
DEFINE_CLEANUP(struct lf_domain *, lf_domain_free);
DEFINE_CLEANUP(struct lf_snapshot *, lf_snapshot_unref);
#define cleanup_config   cleanup(lf_domain_config_free_p)
#define cleanup_domain   cleanup(lf_domain_free_p)
#define cleanup_snapshot cleanup(lf_snapshot_unref_p)

/*
 * For a suite's .init and .fini: the directory, and a launcher whose QEMUs die
 * with the test.
 */
void guest_setup(void);
void guest_teardown(void);
const char *guest_dir(void);
struct lf_launcher *guest_launcher(void);

/* "DIR/format..." of the test's directory; the caller frees it. */
char *guest_path(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Runs a shell command, which has to succeed. */
void guest_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A boot-less guest that ticks, under TCG; its serial port is a file. */
struct lf_domain_config *guest_bootless(const char *name);

/*
 * The busy guest under KVM, in which it also goes on without device model; it
 * ticks. Skips the test when there is no KVM.
 */
struct lf_domain_config *guest_busy(const char *name);

/*
 * The Linux guest under TCG, its serial port a socket; `words` are added to
 * its kernel command line. Skips the test when there is no kernel.
 */
struct lf_domain_config *guest_linux(const char *name, const char *words);

/* Options of a full fork under guest_launcher(). */
struct lf_fork_options guest_fork_options(const char *name);

/* A disk of 8 MiB, an empty qcow2 of that name in the test's directory. */
void guest_add_disk(struct lf_domain_config *config, const char *name);

/* The other end of a serial socket, and everything that came through it. */
struct console {
	int fd;
	char *text;
	size_t len;
	unsigned last_id;
};

/* Connects to the serial socket of a domain called `name`. */
void console_open(struct console *console, const char *path);
void console_close(struct console *console);

/* Waits until the text has `pattern` from `from` on; returns its offset. */
size_t console_wait(
    struct console *console, size_t from, const char *pattern, int timeout_ms);

/* Takes in what is there, and what comes within `ms`. */
void console_drain(struct console *console, int ms);

/*
 * Has the guest's agent run a command, which has to succeed. Returns what it
 * printed, valid until the next call.
 */
const char *console_run(struct console *console, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * The number of the last whole "tick N" line in a text, 0 when there is none.
 * Fails the test when the numbers before it do not follow one another.
 */
unsigned ticks_check(const char *text);

/* FNV-1a of a whole file. */
uint64_t file_hash(int fd);

/* Reads a file of text; the caller frees it. */
char *file_text(const char *path);

/*
 * Waits until a file, as a guest's serial port may be one, has `pattern`;
 * returns all of its text, which the caller frees.
 */
char *guest_wait_text(const char *path, const char *pattern);

/* How many children this thread's process has: QEMUs, mostly. */
unsigned guest_children(void);

#endif
