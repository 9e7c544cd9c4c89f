/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes that have to be collected.
 */
#include "forkd/retire.h"

#include "base/cleanup.h"
#include "base/sys.h"

struct retired {
	struct process process;
	struct event *ended;
};

void
retire_collect(
    struct process *process, struct event **ended, char *ret_how, size_t size)
{
	process_collect(process, ret_how, size);
	event_free(*ended);
	*ended = NULL;
	process_done(process);
}

static void
on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct retired *retired = arg;
	char how[64];

	(void)fd;
	(void)what;
	retire_collect(&retired->process, &retired->ended, how, sizeof(how));
	free(retired);
}

void
retire_process(struct event_base *base, struct process *take_process)
{
	struct retired *retired;

	if (take_process->pidfd < 0)
		return;
	process_kill(take_process);
	retired = sys.calloc(1, sizeof(*retired));
	if (retired != NULL)
		retired->ended = event_new(
		    base, take_process->pidfd, EV_READ, on_ended, retired);
	if (retired != NULL && retired->ended != NULL &&
	    event_add(retired->ended, NULL) == 0) {
		retired->process = *take_process;
		*take_process = PROCESS_NONE;
		return;
	}
	/* Out of memory: it stays to be collected until forkd's own end. */
	if (retired != NULL && retired->ended != NULL)
		event_free(retired->ended);
	free(retired);
	process_done(take_process);
}
