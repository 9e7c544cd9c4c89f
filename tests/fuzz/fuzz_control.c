/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a client says to forkd: any bytes, two descriptors with the first. What
 * comes out are objects whose commands and arguments are checked by the table,
 * and an answer can be made to each.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "control/channel.h"
#include "control/messages.h"
#include "fuzz/fuzz.h"

/* Fits into a socket's buffer, so that one thread is enough. */
#define INPUT_MAX 65536

static void
check(const struct channel_message *message)
{
	const char *name =
	    json_string_value(json_object_get(message->object, "execute"));
	const struct control_command *command =
	    name != NULL ? control_command_find(name) : NULL;
	struct lf_error error = {0};
	json_t *answer;
	int rc;

	if (command == NULL)
		return;
	rc = control_check_arguments(name, command->arguments,
	    json_object_get(message->object, "arguments"), message->fd_count,
	    &error);
	if (rc == 0)
		return;
	if (error.code != rc || error.message[0] == '\0')
		abort();
	answer =
	    control_make_error(&error, json_object_get(message->object, "id"));
	if (answer == NULL || control_read_answer(answer, NULL, &error) >= 0)
		abort();
	json_decref(answer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct channel_message message = {0};
	struct lf_error error;
	struct channel channel;
	int sv[2];

	if (len == 0 || len > INPUT_MAX ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, sv) < 0)
		return 0;
	if (channel_init(&channel, sv[0], &error) < 0 ||
	    fdpass_send(sv[1], data, len, (int[]){sv[1], sv[1]}, 2, &error) !=
		(ssize_t)len)
		abort();
	close(sv[1]);
	for (;;) {
		int rc = channel_next(&channel, &message, &error);

		if (rc == 0)
			rc = channel_read(&channel, &error);
		else if (rc > 0) {
			check(&message);
			channel_message_done(&message);
		}
		if (rc <= 0)
			break;
	}
	channel_done(&channel);
	return 0;
}
