/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can be said to forkd: one table of commands with their arguments, and
 * the states of a domain in which each is legal. docs/forkd.8 describes the
 * same for users.
 *
 * The protocol is QMP's: a greeting {"QMP": ...}, then {"execute": NAME,
 * "arguments": {...}, "id": ANY}, answered by {"return": {...}, "id": ANY} or
 * {"error": {"class": CLASS, "desc": TEXT}, "id": ANY}; events are {"event":
 * NAME, "data": {...}, "timestamp": {...}}. qmp_capabilities is accepted but
 * not demanded.
 */
#ifndef CONTROL_MESSAGES_H
#define CONTROL_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <libfork/error.h>

/* How long "freeze" may let a domain run to an address, at most. */
#define CONTROL_FREEZE_SECONDS_MAX 3600

/* How long the symbol may be that it lets a domain run to. */
#define CONTROL_SYMBOL_BYTES_MAX 512

/* The states of a domain, as bits so that a command can name several. */
enum control_state {
	CONTROL_RUNNING = 1 << 0,
	CONTROL_PAUSED = 1 << 1,
	CONTROL_FROZEN = 1 << 2,
	CONTROL_CRASHED = 1 << 3,
};
#define CONTROL_ALIVE     (CONTROL_RUNNING | CONTROL_PAUSED | CONTROL_FROZEN)
#define CONTROL_ANY_STATE (CONTROL_ALIVE | CONTROL_CRASHED)

const char *control_state_name(enum control_state state);

/* 0 when the name is no state's. */
enum control_state control_state_parse(const char *name);

enum control_type {
	CONTROL_STRING,
	CONTROL_UINT,
	CONTROL_BOOL,
	CONTROL_OBJECT,
	CONTROL_FD, /* an index into the message's descriptors */
};

struct control_argument {
	const char *name; /* NULL ends a list */
	enum control_type type;
	bool required;
	uint64_t max; /* of the number, or bytes of the string */
	const char *meaning;
};

/* Index of a row in the table; the order is of no meaning on the wire. */
enum control_command_id {
	CONTROL_CAPABILITIES,
	CONTROL_VERSION,
	CONTROL_CREATE,
	CONTROL_LIST,
	CONTROL_INFO,
	CONTROL_DOMID,
	CONTROL_DOMNAME,
	CONTROL_RENAME,
	CONTROL_PAUSE,
	CONTROL_UNPAUSE,
	CONTROL_SHUTDOWN,
	CONTROL_DESTROY,
	CONTROL_CONSOLE,
	CONTROL_FREEZE,
	CONTROL_SAVE_DEVSTATE,
	CONTROL_LEASE,
	CONTROL_FORK,
	CONTROL_LAUNCH,
	CONTROL_RESET,
	CONTROL_SUBSCRIBE,
	CONTROL_UNSUBSCRIBE,
	CONTROL_COMMAND_COUNT,
};

/*
 * One command. Where `states` is not 0, argument "domain" (an id or a name)
 * says which domain is meant, and it has to be in one of these states.
 */
struct control_command {
	const char *name;
	unsigned states;
	const struct control_argument *arguments;
	const char *meaning;
	const char *returns;
};

extern const struct control_command control_commands[CONTROL_COMMAND_COUNT];

/* The command of that name, or NULL. */
const struct control_command *control_command_find(const char *name);

/*
 * Checks the arguments (NULL: none) against a list: known names, types, limits,
 * nothing missing, each descriptor index below `fd_count`. -EINVAL names the
 * argument.
 */
int control_check_arguments(const char *command,
    const struct control_argument *list, const json_t *arguments,
    size_t fd_count, struct lf_error *error);

/*
 * Error classes: what a program can tell apart; the text is for people.
 * An errno without a class of its own is "GenericError", which is -EIO here.
 */
int control_error_code(const char *class_name);

/* Building blocks of what is sent. NULL when out of memory. */
json_t *control_make_command(
    const char *name, json_t *take_arguments, json_int_t id);
json_t *control_make_return(json_t *take_result, const json_t *id);
json_t *control_make_error(const struct lf_error *error, const json_t *id);
json_t *control_make_event(const char *name, json_t *take_data);
json_t *control_make_greeting(void);

/* A string of any bytes as JSON: what is not UTF-8 becomes '?'. */
json_t *control_make_text(const char *text);

/*
 * Reads an answer: 0 with the caller's reference to "return", or the error's
 * code with its text.
 */
int control_read_answer(
    const json_t *answer, json_t **ret_result, struct lf_error *error);

/*
 * What a subscriber is told: DOMAIN_CREATED (data: state, parent where there is
 * one), DOMAIN_STATE (state; reason, access and registers where there are any),
 * DOMAIN_LAUNCHED (state; it has a device model now), DOMAIN_RENAMED (name is
 * the new one), DOMAIN_DESTROYED (reason "destroyed", "poweroff" or "failed").
 * The data of each holds id and name.
 */

#endif
