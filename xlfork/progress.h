/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A line on the terminal that something takes its time: shown after half a
 * second, gone when it is over. Nothing is written when standard error is no
 * terminal.
 */
#ifndef XLFORK_PROGRESS_H
#define XLFORK_PROGRESS_H

#include <stdbool.h>

struct progress {
	const char *doing; /* "starting QEMU"; borrowed */
	bool shown;
	unsigned turns;
};

#define PROGRESS_INTERVAL_MS 100

void progress_begin(struct progress *p, const char *doing);

/* To be called every PROGRESS_INTERVAL_MS; has the type that a waiting call of
 * control/client.h wants. Always 0. */
int progress_tick(void *progress, unsigned elapsed_ms);

/* Takes the line away again. */
void progress_end(struct progress *p);

#endif
