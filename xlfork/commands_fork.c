/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Forking: freeze, save-devstate, fork-vm.
 */
#include "xlfork/command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"
#include "xlfork/commands_freeze.h"
#include "xlfork/config_file.h"
#include "xlfork/output_file.h"
#include "xlfork/session.h"

static int
save_devstate(const struct invocation *call, struct lf_error *error)
{
	cleanup_session struct session s = {NULL};
	struct control_fds fds = {.send_count = 1};
	struct output_file file;
	json_t *arguments;
	int rc;

	rc = session_domain("domain", call->words[0], &arguments, error);
	if (rc < 0)
		return rc;
	json_object_set_new(arguments, "fd", json_integer(0));
	rc = session_open(&s, false, error);
	if (rc == 0)
		rc = output_file_open(call->words[1], &file, error);
	if (rc < 0) {
		json_decref(arguments);
		return rc;
	}
	fds.send = &file.fd;
	rc = session_call(&s, "save-devstate", arguments,
	    "writing device state", &fds, NULL, error);
	return output_file_finish(&file, rc, error);
}

/* fork-vm's options, those of the posted Xen series first. */
enum {
	FORK_CONFIG,
	FORK_DEVSTATE,
	FORK_COUNT,
	FORK_PAUSED,
	FORK_VCPUS,
	FORK_LAUNCH_DM,
	FORK_ALLOW_IOMMU,
	FORK_DEBUG,
	FORK_RESET,
	FORK_INTERRUPTS,
	FORK_IO_POLICY,
	FORK_PV_CLOCK,
	FORK_VERIFY,
	FORK_DM_POOL,
};

#define FORKS_MAX 1000

static const struct option_spec fork_options[] = {
    [FORK_CONFIG] = {'C', "config", "CONFIG",
	"the fork's configuration: its name, disks, network, console", false},
    [FORK_DEVSTATE] = {'Q', "devstate", "FILE",
	"device state written by 'save-devstate' for this parent", false},
    [FORK_COUNT] = {'n', "count", "COUNT", "make so many forks", false},
    [FORK_PAUSED] = {'p', "paused", NULL, "leave the forks paused", false},
    [FORK_VCPUS] = {'m', "max-vcpus", "COUNT",
	"virtual CPUs of the fork; only the parent's number is possible",
	false},
    [FORK_LAUNCH_DM] = {0, "launch-dm", "yes|no|late",
	"whether the fork gets a device model; 'yes' without this option",
	false},
    [FORK_ALLOW_IOMMU] = {0, "allow-iommu", NULL,
	"fork a domain with passed-through devices; always refused", false},
    [FORK_DEBUG] = {'d', "debug", NULL,
	"print what is said to forkd, and how long it took", false},
    [FORK_RESET] = {0, "fork-reset", NULL, "take a fork back to where it began",
	true},
    [FORK_INTERRUPTS] = {0, "interrupts", "block|ipi|all",
	"what interrupts a fork without device model", true},
    [FORK_IO_POLICY] = {0, "io-policy", "stop|launch|ignore|crash",
	"what a device access does there", true},
    [FORK_PV_CLOCK] = {0, "pv-clock", NULL, "give the clock MSRs to KVM there",
	true},
    [FORK_VERIFY] = {0, "verify", "COUNT",
	"compare every COUNTth reset with the snapshot", true},
    [FORK_DM_POOL] = {0, "dm-pool", "COUNT",
	"keep device models started in advance", true},
    OPTION_END,
};

/* --launch-dm: 'yes' goes on, the other forms are for a later version. */
static int
check_launch_dm(const struct invocation *call, struct lf_error *error)
{
	const char *value = call->value[FORK_LAUNCH_DM];

	if (!call->given[FORK_LAUNCH_DM] || strcmp(value, "yes") == 0)
		return 0;
	if (strcmp(value, "no") == 0 || strcmp(value, "late") == 0)
		return error_set(error, EOPNOTSUPP,
		    "fork-vm: --launch-dm %s is not in this version; only "
		    "'yes' is",
		    value);
	return usage_error(
	    call, error, "--launch-dm is yes, no or late, not '%.32s'", value);
}

static int
check_options(const struct invocation *call, struct lf_error *error)
{
	const struct option_spec *o;
	unsigned i;
	int rc;

	if (call->given[FORK_COUNT] && call->given[FORK_CONFIG])
		return usage_error(call, error,
		    "-n and -C exclude each other: one configuration is one "
		    "fork's");
	rc = check_launch_dm(call, error);
	if (rc < 0)
		return rc;
	for (i = 0, o = fork_options; o[i].name != NULL; i++)
		if (call->given[i] && o[i].later)
			return error_set(error, EOPNOTSUPP,
			    "fork-vm: --%s is not in this version", o[i].name);
	if (call->given[FORK_ALLOW_IOMMU])
		return error_set(error, EOPNOTSUPP,
		    "fork-vm: --allow-iommu is refused: a device passed "
		    "through is one piece of hardware, there is nothing to "
		    "give to the fork; remove it from the parent");
	return 0;
}

/* -m is only there to be compared with the parent's number. */
static int
check_vcpus(const struct invocation *call, struct session *s,
    unsigned long wanted, struct lf_error *error)
{
	cleanup_json json_t *result = NULL;
	json_t *arguments;
	json_int_t vcpus = 0;
	int rc;

	rc = session_domain("domain", call->words[0], &arguments, error);
	if (rc < 0)
		return rc;
	rc = session_call(s, "info", arguments, "asking", NULL, &result, error);
	if (rc < 0)
		return rc;
	vcpus = json_integer_value(json_object_get(result, "vcpus"));
	if ((unsigned long)vcpus != wanted)
		return error_set(error, EINVAL,
		    "fork-vm: domain '%s' has %" PRId64 " virtual CPUs, so "
		    "its fork cannot have %lu; leave out --max-vcpus",
		    call->words[0], (int64_t)vcpus, wanted);
	return 0;
}

/* What `call` says, as forkd's arguments; `*ret_devstate` is to be sent. */
static int
fork_arguments(const struct invocation *call, unsigned long count,
    int *ret_devstate, json_t **ret_arguments, struct lf_error *error)
{
	const char *path = call->value[FORK_DEVSTATE];
	cleanup_json json_t *arguments = NULL;
	json_t *config;
	int rc;

	rc = session_domain("domain", call->words[0], &arguments, error);
	if (rc < 0)
		return rc;
	if (call->given[FORK_CONFIG]) {
		rc = config_file_load(call->value[FORK_CONFIG], &config, error);
		if (rc < 0)
			return rc;
		json_object_set_new(arguments, "config", config);
	}
	if (call->given[FORK_COUNT])
		json_object_set_new(
		    arguments, "count", json_integer((json_int_t)count));
	if (call->given[FORK_PAUSED])
		json_object_set_new(arguments, "paused", json_true());
	if (path != NULL) {
		*ret_devstate = sys.open(path, O_RDONLY | O_CLOEXEC, 0);
		if (*ret_devstate < 0)
			return error_sys(error, errno,
			    "cannot open device state '%.256s'", path);
		json_object_set_new(arguments, "devstate", json_integer(0));
	}
	*ret_arguments = take_ptr(arguments);
	return 0;
}

static int
compare_ids(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Forks are ready in any order; their ids are printed in ascending order. */
static int
print_forks(const json_t *forks, struct lf_error *error)
{
	size_t i, count = json_array_size(forks);
	cleanup_free int64_t *ids = sys.calloc(count + 1, sizeof(*ids));

	if (ids == NULL)
		return error_nomem(error);
	for (i = 0; i < count; i++)
		ids[i] = json_integer_value(
		    json_object_get(json_array_get(forks, i), "id"));
	qsort(ids, count, sizeof(*ids), compare_ids);
	for (i = 0; i < count; i++)
		printf("%" PRId64 "\n", ids[i]);
	return 0;
}

static int
fork_vm(const struct invocation *call, struct lf_error *error)
{
	cleanup_session struct session s = {NULL};
	cleanup_json json_t *result = NULL;
	cleanup_close int devstate = -1;
	struct control_fds fds = {.send = &devstate};
	unsigned long count = 1, vcpus = 0;
	json_t *arguments = NULL;
	int rc;

	rc = check_options(call, error);
	if (rc == 0 && call->given[FORK_COUNT])
		rc = option_number(
		    call, FORK_COUNT, 1, FORKS_MAX, &count, error);
	if (rc == 0 && call->given[FORK_VCPUS])
		rc = option_number(call, FORK_VCPUS, 1, 4096, &vcpus, error);
	if (rc == 0)
		rc = fork_arguments(call, count, &devstate, &arguments, error);
	if (rc < 0)
		return rc;
	rc = session_open(&s, call->given[FORK_DEBUG], error);
	if (rc == 0 && vcpus > 0)
		rc = check_vcpus(call, &s, vcpus, error);
	if (rc < 0) {
		json_decref(arguments);
		return rc;
	}
	fds.send_count = devstate >= 0;
	rc = session_call(
	    &s, "fork-vm", arguments, "forking", &fds, &result, error);
	if (rc < 0 && devstate >= 0)
		return error_prefix(error, rc, "fork-vm -Q '%.256s'",
		    call->value[FORK_DEVSTATE]);
	if (rc < 0)
		return rc;
	return print_forks(json_object_get(result, "forks"), error);
}

const struct command fork_commands[] = {
    {"fork-vm", fork_vm, fork_options, "PARENT", 1, 1, "make forks of a domain",
	"A fork is a new domain that goes on from where its parent stands, "
	"and shares the parent's memory until one of them writes. The parent "
	"is frozen for it, if it is not frozen yet. Prints each fork's id on "
	"a line."},
    {"freeze", command_freeze, freeze_options, "DOMAIN", 1, 1,
	"pause a domain and make its snapshot",
	"Forks start from the snapshot; 'unpause' drops it. With --at, the "
	"domain first runs until one of its virtual CPUs is about to execute "
	"the instruction there; which one it was is printed."},
    {"save-devstate", save_devstate, NULL, "DOMAIN FILE", 2, 2,
	"write a domain's device state to a file",
	"The domain is frozen for it, if it is not frozen yet. "
	"'fork-vm -Q FILE' reads it."},
    {.name = NULL},
};
