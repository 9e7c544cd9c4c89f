/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A growing argument vector with the descriptors that belong to it. A failed
 * allocation is remembered; the caller adds everything and asks at the end.
 */
#ifndef QEMU_ARGV_LIST_H
#define QEMU_ARGV_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include <libfork/qemu.h>

/* The first descriptor after standard input, output and error. */
#define ARGV_FIRST_FD 3

struct argv_list {
	struct lf_qemu_argv *argv; /* owned; NULL after a failure */
	size_t size;               /* room in argv->argv */
	size_t fd_size;
	bool failed;
};

void argv_list_init(struct argv_list *list);
void argv_list_done(struct argv_list *list);

/* One argument, formatted. */
void argv_add(struct argv_list *list, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* An option and its formatted value: two arguments. */
#define argv_option(list, option, ...)            \
	do {                                      \
		argv_add((list), "%s", (option)); \
		argv_add((list), __VA_ARGS__);    \
	} while (0)

/*
 * A descriptor, under the next number, which is returned. `path` is copied and
 * may be NULL; `what` is formatted.
 */
int argv_add_fd(struct argv_list *list, enum lf_qemu_fd_kind kind,
    const char *path, int open_flags, const char *what, ...)
    __attribute__((format(printf, 5, 6)));

/* The descriptor added last is one that QEMU opens again. */
void argv_fd_is_reopened(struct argv_list *list);

/* `text` with every comma doubled, as QEMU's option parser wants it. */
int argv_escape(const char *text, char *buf, size_t size);

#endif
