/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The progress line.
 */
#include "xlfork/progress.h"

#include <stdio.h>
#include <unistd.h>

#define SHOWN_AFTER_MS 500

void
progress_begin(struct progress *p, const char *doing)
{
	*p = (struct progress){.doing = doing};
}

int
progress_tick(void *progress, unsigned elapsed_ms)
{
	static const char wheel[] = "|/-\\";
	struct progress *p = progress;

	if (elapsed_ms < SHOWN_AFTER_MS || !isatty(STDERR_FILENO))
		return 0;
	fprintf(stderr, "\r%c %s, %u.%u s", wheel[p->turns++ % 4], p->doing,
	    elapsed_ms / 1000, elapsed_ms / 100 % 10);
	p->shown = true;
	return 0;
}

void
progress_end(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
