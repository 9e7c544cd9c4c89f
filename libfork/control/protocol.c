/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The protocol's form: building messages, checking arguments, error classes.
 */
#include <config.h>

#include "control/messages.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"

static const struct {
	enum control_state state;
	const char *name;
} states[] = {
    {CONTROL_RUNNING, "running"},
    {CONTROL_PAUSED, "paused"},
    {CONTROL_FROZEN, "frozen"},
    {CONTROL_CRASHED, "crashed"},
};

/* The first row of a code or of a class is what it is turned into. */
static const struct {
	int code;
	const char *name;
} classes[] = {
    {EIO, "GenericError"},
    {ENOSYS, "CommandNotFound"},
    {EINVAL, "InvalidArgument"},
    {ENOENT, "NotFound"},
    {EEXIST, "Exists"},
    {EBUSY, "Busy"},
    {EBADFD, "WrongState"},
    {EACCES, "NotPermitted"},
    {EPERM, "NotPermitted"},
    {EOPNOTSUPP, "NotSupported"},
    {ENOSPC, "NoSpace"},
    {ENOMEM, "NoMemory"},
    {ETIMEDOUT, "TimedOut"},
    {EBADMSG, "BadMessage"},
    {EMSGSIZE, "BadMessage"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *
control_state_name(enum control_state state)
{
	size_t i;

	for (i = 0; i < COUNT(states); i++)
		if (states[i].state == state)
			return states[i].name;
	return "unknown";
}

enum control_state
control_state_parse(const char *name)
{
	size_t i;

	for (i = 0; name != NULL && i < COUNT(states); i++)
		if (strcmp(states[i].name, name) == 0)
			return states[i].state;
	return 0;
}

static const char *
error_class(int code)
{
	size_t i;

	if (code < 0)
		code = -code;
	for (i = 0; i < COUNT(classes); i++)
		if (classes[i].code == code)
			return classes[i].name;
	return classes[0].name;
}

int
control_error_code(const char *class_name)
{
	size_t i;

	for (i = 0; i < COUNT(classes); i++)
		if (strcmp(classes[i].name, class_name) == 0)
			return -classes[i].code;
	return -classes[0].code;
}

/* One argument's value against its row. */
static int
check_value(const char *command, const struct control_argument *a,
    const json_t *value, size_t fd_count, struct lf_error *error)
{
	const char *wanted = NULL;

	switch (a->type) {
	case CONTROL_STRING:
		if (!json_is_string(value) || json_string_length(value) == 0)
			wanted = "a string that is not empty";
		else if (json_string_length(value) > a->max)
			return error_set(error, EINVAL,
			    "%s: argument '%s' has %zu bytes, at most %" PRIu64
			    " are allowed",
			    command, a->name, json_string_length(value),
			    a->max);
		break;
	case CONTROL_UINT:
		if (!json_is_integer(value) || json_integer_value(value) < 1 ||
		    (uint64_t)json_integer_value(value) > a->max)
			return error_set(error, EINVAL,
			    "%s: argument '%s' has to be a number from 1 to "
			    "%" PRIu64,
			    command, a->name, a->max);
		break;
	case CONTROL_BOOL:
		if (!json_is_boolean(value))
			wanted = "true or false";
		break;
	case CONTROL_OBJECT:
		if (!json_is_object(value) && !json_is_array(value))
			wanted = "an object";
		break;
	case CONTROL_FD:
		if (!json_is_integer(value))
			wanted = "the index of a descriptor";
		else if (json_integer_value(value) < 0 ||
			 (uint64_t)json_integer_value(value) >= fd_count)
			return error_set(error, EINVAL,
			    "%s: argument '%s' is descriptor %" PRId64
			    " of the message, which has %zu",
			    command, a->name,
			    (int64_t)json_integer_value(value), fd_count);
		break;
	}
	if (wanted != NULL)
		return error_set(error, EINVAL,
		    "%s: argument '%s' has to be %s", command, a->name, wanted);
	return 0;
}

int
control_check_arguments(const char *command,
    const struct control_argument *list, const json_t *arguments,
    size_t fd_count, struct lf_error *error)
{
	const struct control_argument *a;
	const char *key;
	json_t *value;

	if (arguments != NULL && !json_is_object(arguments))
		return error_set(error, EINVAL,
		    "%s: 'arguments' has to be an object", command);
	json_object_foreach((json_t *)arguments, key, value)
	{
		for (a = list; a->name != NULL; a++)
			if (strcmp(a->name, key) == 0)
				break;
		if (a->name == NULL)
			return error_set(error, EINVAL,
			    "%s: no argument is called '%.64s'", command, key);
	}
	for (a = list; a->name != NULL; a++) {
		int rc;

		value = json_object_get(arguments, a->name);
		if (value == NULL && a->required)
			return error_set(error, EINVAL,
			    "%s: argument '%s' is missing (%s)", command,
			    a->name, a->meaning);
		if (value == NULL)
			continue;
		rc = check_value(command, a, value, fd_count, error);
		if (rc < 0)
			return rc;
	}
	return 0;
}

json_t *
control_make_command(const char *name, json_t *take_arguments, json_int_t id)
{
	return json_pack("{s:s, s:o*, s:I}", "execute", name, "arguments",
	    take_arguments, "id", id);
}

json_t *
control_make_return(json_t *take_result, const json_t *id)
{
	if (take_result == NULL)
		return NULL;
	return json_pack("{s:o, s:O*}", "return", take_result, "id", id);
}

json_t *
control_make_text(const char *text)
{
	char ascii[LF_ERROR_MESSAGE_MAX];
	json_t *value = json_string(text);
	size_t i;

	if (value != NULL)
		return value;
	/* Not UTF-8: a program's output, or a message cut in a character. */
	for (i = 0; i < sizeof(ascii) - 1 && text[i] != '\0'; i++)
		ascii[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
	ascii[i] = '\0';
	return json_string(ascii);
}

json_t *
control_make_error(const struct lf_error *error, const json_t *id)
{
	return json_pack("{s:{s:s, s:o}, s:O*}", "error", "class",
	    error_class(error->code), "desc", control_make_text(error->message),
	    "id", id);
}

json_t *
control_make_event(const char *name, json_t *take_data)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return json_pack("{s:s, s:o, s:{s:I, s:I}}", "event", name, "data",
	    take_data, "timestamp", "seconds", (json_int_t)now.tv_sec,
	    "microseconds", (json_int_t)(now.tv_nsec / 1000));
}

json_t *
control_make_greeting(void)
{
	int major = 0, minor = 0, micro = 0;

	/* The member 'qemu' is where QMP clients look for a version. */
	sscanf(PACKAGE_VERSION, "%d.%d.%d", &major, &minor, &micro);
	return json_pack("{s:{s:{s:{s:i, s:i, s:i}, s:s}, s:[]}}", "QMP",
	    "version", "qemu", "major", major, "minor", minor, "micro", micro,
	    "package", "forkd " PACKAGE_VERSION, "capabilities");
}

int
control_read_answer(
    const json_t *answer, json_t **ret_result, struct lf_error *error)
{
	json_t *result = json_object_get(answer, "return");
	const char *class_name, *text;

	if (result != NULL) {
		*ret_result = json_incref(result);
		return 0;
	}
	if (json_unpack((json_t *)answer, "{s:{s:s, s:s}}", "error", "class",
		&class_name, "desc", &text) < 0)
		return error_set(error, EBADMSG,
		    "an answer that has neither 'return' nor 'error'");
	return error_set(error, -control_error_code(class_name), "%s", text);
}
