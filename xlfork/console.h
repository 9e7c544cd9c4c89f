/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain's console on ours: bytes go both ways until the user leaves, or the
 * console ends with its domain.
 */
#ifndef XLFORK_CONSOLE_H
#define XLFORK_CONSOLE_H

#include <stdbool.h>

#include <libfork/error.h>

#include "xlfork/session.h"

/* What leaves the console, typed on a terminal: Ctrl-]. */
#define CONSOLE_ESCAPE 0x1d

struct console {
	struct session *session; /* borrowed */
	char domain[132];        /* its id */
	int fd;
	bool is_file; /* read only; its end is not the console's */
};

/* Asks forkd for the console. On failure there is nothing to close. */
int console_open(struct session *s, const char *domain,
    struct console *ret_console, struct lf_error *error);
void console_close(struct console *console);

/*
 * Relays standard input and output. A terminal is put into raw mode meanwhile,
 * and put back whatever happens. The end of standard input ends nothing: what
 * the guest says is still shown.
 */
int console_relay(struct console *console, struct lf_error *error);

#endif
