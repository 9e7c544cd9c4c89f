/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a QEMU says on its monitor: greeting, answers, events, in any order.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "qemu/qmp.h"

/* Fits into a socket's buffer, so that one thread is enough. */
#define INPUT_MAX 65536

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct qmp *qmp;
	struct lf_error error;
	json_t *event;
	char *text;
	int sv[2];

	if (len > INPUT_MAX || socketpair(AF_UNIX, SOCK_STREAM, 0, sv) < 0)
		return 0;
	if (write(sv[1], data, len) != (ssize_t)len ||
	    shutdown(sv[1], SHUT_WR) < 0)
		abort();
	/* It closes its end, whatever comes of it. */
	if (qmp_new(sv[0], 1000, &qmp, &error) == 0) {
		if (qmp_hmp(qmp, "info", &text, &error) == 0)
			free(text);
		qmp_execute(qmp, "stop", NULL, NULL, &error);
		qmp_read_events(qmp, &error);
		while ((event = qmp_next_event(qmp)) != NULL)
			json_decref(event);
		qmp_free(qmp);
	}
	close(sv[1]);
	return 0;
}
