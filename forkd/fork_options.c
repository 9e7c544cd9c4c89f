/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Options of forks without device model.
 */
#include "forkd/fork_options.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"

static const char *const members[] = {
    "interrupts",
    "io-policy",
    "pv-clock",
    "verify",
};

#define MEMBER_COUNT (sizeof(members) / sizeof(members[0]))

static const char *const interrupt_names[] = {
    [LF_INTERRUPTS_BLOCK] = "block",
    [LF_INTERRUPTS_IPI] = "ipi",
    [LF_INTERRUPTS_ALL] = "all",
};

static const char *const policy_names[] = {
    [LF_IO_STOP] = "stop",
    [LF_IO_IGNORE] = "ignore",
    [LF_IO_CRASH] = "crash",
    [LF_IO_LAUNCH] = "launch",
};

/* The place of a member's value among names; `*ret` stays without one. */
static int
read_name(const json_t *object, const char *member, const char *const *names,
    unsigned count, unsigned *ret, struct lf_error *error)
{
	const char *value = json_string_value(json_object_get(object, member));
	unsigned i;

	if (value == NULL)
		return 0;
	for (i = 0; i < count; i++)
		if (names[i] != NULL && strcmp(names[i], value) == 0) {
			*ret = i;
			return 0;
		}
	return error_set(
	    error, EINVAL, "'%.32s' is no value of '%s'", value, member);
}

int
fork_options_read(const json_t *object, struct lf_fork_options *options,
    struct lf_error *error)
{
	unsigned interrupts = options->interrupts, policy = options->io_policy;
	json_int_t verify =
	    json_integer_value(json_object_get(object, "verify"));
	int rc;

	rc = read_name(object, "interrupts", interrupt_names,
	    LF_INTERRUPTS_ALL + 1, &interrupts, error);
	if (rc == 0)
		rc = read_name(object, "io-policy", policy_names,
		    LF_IO_LAUNCH + 1, &policy, error);
	if (rc < 0)
		return rc;
	options->interrupts = interrupts;
	options->io_policy = policy;
	options->pv_clock = json_is_true(json_object_get(object, "pv-clock"));
	if (verify > 0 && verify <= UINT32_MAX)
		options->verify_every = (unsigned)verify;
	return 0;
}

json_t *
fork_options_pick(const json_t *object)
{
	json_t *picked = json_object();
	size_t i;

	for (i = 0; i < MEMBER_COUNT; i++) {
		json_t *value = json_object_get(object, members[i]);

		if (value != NULL)
			json_object_set(picked, members[i], value);
	}
	return picked;
}

const char *
fork_options_any(const json_t *object)
{
	size_t i;

	for (i = 0; i < MEMBER_COUNT; i++)
		if (json_object_get(object, members[i]) != NULL)
			return members[i];
	return NULL;
}
