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
	cleanup_session struct session s = {.client = NULL};
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
#define POOL_MAX  64

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
	false},
    [FORK_INTERRUPTS] = {0, "interrupts", "block|ipi|all",
	"what interrupts a fork without device model; 'block' with one virtual "
	"CPU, else 'ipi'",
	false},
    [FORK_IO_POLICY] = {0, "io-policy", "stop|launch|ignore|crash",
	"what a device access does there; 'stop' without this option", false},
    [FORK_PV_CLOCK] = {0, "pv-clock", NULL, "give the clock MSRs to KVM there",
	false},
    [FORK_VERIFY] = {0, "verify", "COUNT",
	"compare every COUNTth reset there with the snapshot", false},
    [FORK_DM_POOL] = {0, "dm-pool", "COUNT",
	"start the device models of COUNT of the forks in advance; they wait "
	"for --launch-dm late",
	false},
    OPTION_END,
};

/* What is wanted: fork-vm does three different things. */
enum fork_form {
	FORM_YES,   /* forks with a device model */
	FORM_NO,    /* forks without */
	FORM_LATE,  /* a device model for such a fork */
	FORM_RESET, /* a fork back to its snapshot */
	FORM_COUNT,
};

static const char *const form_words[FORM_COUNT] = {
    [FORM_YES] = "--launch-dm yes",
    [FORM_NO] = "--launch-dm no",
    [FORM_LATE] = "--launch-dm late",
    [FORM_RESET] = "--fork-reset",
};

#define IN(form) (1U << FORM_##form)
#define IN_ALL   ((1U << FORM_COUNT) - 1)

/* Which options go with which form. */
static const unsigned option_forms[] = {
    [FORK_CONFIG] = IN(YES) | IN(LATE),
    [FORK_DEVSTATE] = IN(YES) | IN(LATE),
    [FORK_COUNT] = IN(YES) | IN(NO),
    [FORK_PAUSED] = IN_ALL,
    [FORK_VCPUS] = IN(YES) | IN(NO) | IN(LATE),
    [FORK_LAUNCH_DM] = IN(YES) | IN(NO) | IN(LATE),
    [FORK_ALLOW_IOMMU] = IN_ALL,
    [FORK_DEBUG] = IN_ALL,
    [FORK_RESET] = IN(RESET),
    [FORK_INTERRUPTS] = IN(NO),
    [FORK_IO_POLICY] = IN(NO),
    [FORK_PV_CLOCK] = IN(NO),
    [FORK_VERIFY] = IN(NO),
    [FORK_DM_POOL] = IN(NO),
};

static int
read_form(const struct invocation *call, enum fork_form *ret_form,
    struct lf_error *error)
{
	const char *value = call->value[FORK_LAUNCH_DM];

	*ret_form = call->given[FORK_RESET] ? FORM_RESET : FORM_YES;
	if (!call->given[FORK_LAUNCH_DM])
		return 0;
	if (call->given[FORK_RESET])
		return usage_error(call, error,
		    "--fork-reset and --launch-dm exclude each other: a reset "
		    "leaves a fork with or without device model, as it is");
	if (strcmp(value, "no") == 0)
		*ret_form = FORM_NO;
	else if (strcmp(value, "late") == 0)
		*ret_form = FORM_LATE;
	else if (strcmp(value, "yes") != 0)
		return usage_error(call, error,
		    "--launch-dm is yes, no or late, not '%.32s'", value);
	return 0;
}

/* An option's value is one of those that its help lists: "block|ipi|all". */
static int
check_word(
    const struct invocation *call, unsigned option, struct lf_error *error)
{
	const struct option_spec *o = &fork_options[option];
	const char *value = call->value[option], *word = o->argument;

	if (!call->given[option])
		return 0;
	for (;;) {
		size_t len = strcspn(word, "|");

		if (strlen(value) == len && strncmp(word, value, len) == 0)
			return 0;
		if (word[len] == '\0')
			break;
		word += len + 1;
	}
	return usage_error(call, error, "--%s is one of %s, not '%.32s'",
	    o->name, o->argument, value);
}

static int
check_options(
    const struct invocation *call, enum fork_form form, struct lf_error *error)
{
	const struct option_spec *o = fork_options;
	unsigned i;
	int rc;

	for (i = 0; o[i].name != NULL; i++)
		if (call->given[i] && (option_forms[i] & (1U << form)) == 0)
			return option_forms[i] == IN(NO)
				   ? usage_error(call, error,
					 "--%s is for forks without device "
					 "model: add --launch-dm no",
					 o[i].name)
				   : usage_error(call, error,
					 "--%s does not go with %s", o[i].name,
					 form_words[form]);
	if (call->given[FORK_COUNT] && call->given[FORK_CONFIG])
		return usage_error(call, error,
		    "-n and -C exclude each other: one configuration is one "
		    "fork's");
	rc = check_word(call, FORK_INTERRUPTS, error);
	if (rc == 0)
		rc = check_word(call, FORK_IO_POLICY, error);
	if (rc < 0)
		return rc;
	for (i = 0; o[i].name != NULL; i++)
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

/* Numbers among the options; 0: not given. */
struct fork_numbers {
	unsigned long count, vcpus, verify, pool;
};

static int
read_numbers(const struct invocation *call, struct fork_numbers *ret,
    struct lf_error *error)
{
	int rc = 0;

	*ret = (struct fork_numbers){0};
	if (call->given[FORK_COUNT])
		rc = option_number(
		    call, FORK_COUNT, 1, FORKS_MAX, &ret->count, error);
	if (rc == 0 && call->given[FORK_VCPUS])
		rc = option_number(
		    call, FORK_VCPUS, 1, 4096, &ret->vcpus, error);
	if (rc == 0 && call->given[FORK_VERIFY])
		rc = option_number(
		    call, FORK_VERIFY, 1, UINT32_MAX, &ret->verify, error);
	if (rc == 0 && call->given[FORK_DM_POOL])
		rc = option_number(
		    call, FORK_DM_POOL, 1, POOL_MAX, &ret->pool, error);
	if (rc == 0 && ret->pool > (ret->count > 0 ? ret->count : 1))
		return usage_error(call, error,
		    "--dm-pool %lu is for more forks than are made", ret->pool);
	return rc;
}

/* What only forks without device model can be told. */
static void
add_bare_options(const struct invocation *call,
    const struct fork_numbers *numbers, json_t *arguments)
{
	json_object_set_new(arguments, "device-model", json_false());
	if (call->given[FORK_INTERRUPTS])
		json_object_set_new(arguments, "interrupts",
		    json_string(call->value[FORK_INTERRUPTS]));
	if (call->given[FORK_IO_POLICY])
		json_object_set_new(arguments, "io-policy",
		    json_string(call->value[FORK_IO_POLICY]));
	if (call->given[FORK_PV_CLOCK])
		json_object_set_new(arguments, "pv-clock", json_true());
	if (numbers->verify > 0)
		json_object_set_new(arguments, "verify",
		    json_integer((json_int_t)numbers->verify));
	if (numbers->pool > 0)
		json_object_set_new(arguments, "dm-pool",
		    json_integer((json_int_t)numbers->pool));
}

/* What `call` says, as forkd's arguments; `*ret_devstate` is to be sent. */
static int
fork_arguments(const struct invocation *call, enum fork_form form,
    const struct fork_numbers *numbers, int *ret_devstate,
    json_t **ret_arguments, struct lf_error *error)
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
	if (numbers->count > 0)
		json_object_set_new(arguments, "count",
		    json_integer((json_int_t)numbers->count));
	if (form == FORM_NO)
		add_bare_options(call, numbers, arguments);
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

/* Where the device model came from, if one had been started in advance. */
static void
print_launch(const json_t *result)
{
	const char *from =
	    json_string_value(json_object_get(result, "device-model"));

	if (from != NULL)
		printf("device model: %s\n", from);
}

/* How forkd calls the forms, and what is said while they take time. */
static const struct {
	const char *command, *doing;
} form_calls[FORM_COUNT] = {
    [FORM_YES] = {"fork-vm", "forking"},
    [FORM_NO] = {"fork-vm", "forking"},
    [FORM_LATE] = {"launch-dm", "launching the device model"},
    [FORM_RESET] = {"reset", "resetting"},
};

static int
fork_vm(const struct invocation *call, struct lf_error *error)
{
	cleanup_session struct session s = {.client = NULL};
	cleanup_json json_t *result = NULL;
	cleanup_close int devstate = -1;
	struct control_fds fds = {.send = &devstate};
	struct fork_numbers numbers;
	json_t *arguments = NULL;
	enum fork_form form = FORM_YES;
	int rc;

	rc = read_form(call, &form, error);
	if (rc == 0)
		rc = check_options(call, form, error);
	if (rc == 0)
		rc = read_numbers(call, &numbers, error);
	if (rc == 0)
		rc = fork_arguments(
		    call, form, &numbers, &devstate, &arguments, error);
	if (rc < 0)
		return rc;
	rc = session_open(&s, call->given[FORK_DEBUG], error);
	if (rc == 0 && numbers.vcpus > 0)
		rc = check_vcpus(call, &s, numbers.vcpus, error);
	if (rc < 0) {
		json_decref(arguments);
		return rc;
	}
	fds.send_count = devstate >= 0;
	rc = session_call(&s, form_calls[form].command, arguments,
	    form_calls[form].doing, &fds, &result, error);
	if (rc < 0 && devstate >= 0)
		return error_prefix(error, rc, "fork-vm -Q '%.256s'",
		    call->value[FORK_DEVSTATE]);
	if (rc < 0)
		return rc;
	print_launch(result);
	return print_forks(json_object_get(result, "forks"), error);
}

const struct command fork_commands[] = {
    {"fork-vm", fork_vm, fork_options, "PARENT", 1, 1, "make forks of a domain",
	"A fork is a new domain that goes on from where its parent stands, "
	"and shares the parent's memory until one of them writes. The parent "
	"is frozen for it, if it is not frozen yet. Prints each fork's id on "
	"a line. With --launch-dm no, a fork is made at once and has no device "
	"model; with --launch-dm late, such a fork gets one; with "
	"--fork-reset, a fork goes back to where it began. PARENT is the fork "
	"then. Whatever "
	"is made runs on, unless -p is given."},
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
