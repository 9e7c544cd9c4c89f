/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What forkd and a domain process say to each other; one table each way. The
 * form is that of control/messages.h.
 */
#ifndef FORKD_ROLE_H
#define FORKD_ROLE_H

#include "control/messages.h"

/* Descriptors that a domain process is born with. */
#define ROLE_CONTROL_FD 3 /* connected to the forkd that made it */
#define ROLE_LISTEN_FD  4 /* where the next forkd connects */
#define ROLE_DIR_FD     5 /* the domain's directory, to see that it is there */

/*
 * What forkd asks of a domain process. Every command says which of its domains
 * is meant.
 */
enum role_command_id {
	ROLE_DESCRIBE,
	ROLE_CHECK_LEASES,
	ROLE_BOOT,
	ROLE_FORK,
	ROLE_PAUSE,
	ROLE_UNPAUSE,
	ROLE_SHUTDOWN,
	ROLE_FREEZE,
	ROLE_SAVE_DEVSTATE,
	ROLE_SEND_SNAPSHOT,
	ROLE_FORK_HERE,
	ROLE_PREPARE,
	ROLE_LAUNCH,
	ROLE_RESET,
	ROLE_REGISTERS,
	ROLE_PAGES,
	ROLE_DESTROY,
	ROLE_COMMAND_COUNT,
};

/* What a domain process asks of forkd, for one of its domains. */
enum role_need_id {
	ROLE_START_QEMU,
	ROLE_OPEN_IMAGE,
	ROLE_MAKE_OVERLAY,
	ROLE_REMOVE_OVERLAY,
	ROLE_NEED_COUNT,
};

struct role_command {
	const char *name;
	const struct control_argument *arguments;
};

extern const struct role_command role_commands[ROLE_COMMAND_COUNT];
extern const struct role_command role_needs[ROLE_NEED_COUNT];

/* Index of the command of that name in a table, or -1. */
int role_find(const struct role_command *table, int count, const char *name);

/*
 * Events of a domain process, each with "domain". STATE: {state, reason}, and
 * "access", "registers" where there are any; "wants-device-model" is true when
 * it stopped at a device access that a device model is to be launched for.
 * ENDED: the guest powered off.
 */
#define ROLE_EVENT_STATE "STATE"
#define ROLE_EVENT_ENDED "ENDED"

#endif
