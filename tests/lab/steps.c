/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * steps DOMAIN FUNCTION BUFFER SIZE INPUT: which instructions a function of a
 * frozen guest's kernel executes, found without any probe: a fork is given the
 * input at BUFFER and its size at SIZE, runs to FUNCTION, and is single-stepped
 * by KVM until that returns. Of the addresses on standard input, those at which
 * it stood are printed, in order. All numbers are addresses.
 *
 * No step leaves kernel mode, so none is lost at SYSRET or IRET; the memory
 * that is used was used before.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/fuzz.h>

#include "domain/backend.h"
#include "domain/kvm.h"
#include "kvm/vcpu.h"
#include "vmi/space.h"
#include "xlfork/fuzz_target.h"

#define INPUT_MAX     65536
#define ADDRESSES_MAX 65536
#define STEPS_MAX     5000000
#define TIMEOUT_MS    300000

static struct lf_error error;

static void __attribute__((noreturn, format(printf, 1, 2)))
give_up(const char *format, ...)
{
	va_list args;

	fputs("steps: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static void
must(int rc)
{
	if (rc < 0)
		give_up("%s", error.message);
}

/* --- the addresses --- */

static struct address {
	uint64_t address;
	bool stood;
} addresses[ADDRESSES_MAX];
static size_t address_count;

static int
compare(const void *a, const void *b)
{
	const struct address *first = a, *second = b;

	return first->address < second->address
		   ? -1
		   : first->address > second->address;
}

static void
read_addresses(void)
{
	char line[256];

	while (address_count < ADDRESSES_MAX &&
	       fgets(line, sizeof(line), stdin) != NULL)
		if (strncmp(line, "0x", 2) == 0)
			addresses[address_count++].address =
			    strtoull(line, NULL, 16);
	qsort(addresses, address_count, sizeof(addresses[0]), compare);
}

static void
note(uint64_t rip)
{
	const struct address key = {.address = rip};
	struct address *found = bsearch(
	    &key, addresses, address_count, sizeof(addresses[0]), compare);

	if (found != NULL)
		found->stood = true;
}

/* --- the guest --- */

/* A snapshot of the instant at which the input has come to the function. */
static struct lf_snapshot *
at_function(const struct fuzz_target *target, char **words)
{
	static uint8_t input[INPUT_MAX];
	uint64_t function = strtoull(words[0], NULL, 16);
	struct lf_fuzz_options options;
	struct lf_fuzz_outcome outcome;
	struct lf_snapshot *there;
	struct lf_fuzz *fuzz;
	FILE *file = fopen(words[3], "re");
	size_t len;

	if (file == NULL)
		give_up("cannot open '%s'", words[3]);
	len = fread(input, 1, sizeof(input), file);
	fclose(file);
	lf_fuzz_options_init(&options);
	options.launcher = target->launcher;
	options.input_address = strtoull(words[1], NULL, 16);
	options.input_max = sizeof(input);
	options.size_address = strtoull(words[2], NULL, 16);
	options.size_bytes = 8;
	options.stops = &function;
	options.stop_count = 1;
	options.io = LF_FUZZ_IO_IGNORE;
	options.timeout_ms = TIMEOUT_MS;
	must(lf_fuzz_open(target->snapshot, &options, &fuzz, &error));
	must(lf_fuzz_run(fuzz, input, len, &outcome, &error));
	if (strncmp(outcome.what, "stop: ", 6) != 0)
		give_up("the function was not reached: %s", outcome.what);
	must(lf_domain_freeze(lf_fuzz_domain(fuzz), &there, &error));
	lf_fuzz_close(fuzz);
	return there;
}

/* Returns how many steps it took. */
static unsigned
step_through(struct lf_domain *fork)
{
	static const struct vcpu_debug step = {.single_step = true};
	struct kvm_domain *kvm = fork->impl;
	struct lf_vcpu_regs regs;
	struct vmi_space space;
	struct lf_exit exit;
	uint64_t back;
	unsigned steps;

	must(lf_vcpu_read_regs(fork, 0, &regs, &error));
	must(vmi_space_init(&space, fork, 0, &error));
	must(vmi_space_read(&space, regs.rsp, &back, sizeof(back), &error));
	note(regs.rip);
	must(vcpu_set_debug(vm_vcpu(kvm->vm, 0), &step, &error));
	for (steps = 1; steps < STEPS_MAX; steps++) {
		must(lf_domain_run(fork, &exit, &error));
		if (exit.reason != LF_EXIT_DEBUG)
			give_up(
			    "%s after %u steps", lf_exit_name(&exit), steps);
		if (exit.debug.rip == back)
			return steps;
		note(exit.debug.rip);
	}
	give_up("no end after %u steps", steps);
}

int
main(int argc, char **argv)
{
	struct fuzz_target target = FUZZ_TARGET_NONE;
	struct lf_fork_options options;
	struct lf_snapshot *there;
	struct lf_domain *fork;
	unsigned steps;
	size_t i;

	if (argc != 6)
		give_up("DOMAIN FUNCTION BUFFER SIZE INPUT");
	read_addresses();
	must(fuzz_target_domain(argv[1], &target, &error));
	there = at_function(&target, argv + 2);
	lf_fork_options_init(&options);
	options.launcher = target.launcher;
	must(lf_domain_fork(there, &options, &fork, &error));
	steps = step_through(fork);
	for (i = 0; i < address_count; i++)
		if (addresses[i].stood)
			printf("0x%llx\n",
			    (unsigned long long)addresses[i].address);
	fprintf(stderr, "%u steps\n", steps);
	lf_domain_free(fork);
	lf_snapshot_unref(there);
	fuzz_target_done(&target);
	return 0;
}
