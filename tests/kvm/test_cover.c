/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Coverage by probes of a micro-guest's parser: block coverage, edge coverage
 * and single-stepping of the same inputs see the same blocks.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cover/branch.h"
#include "cover/code.h"
#include "domain/backend.h"
#include "domain/kvm.h"
#include "kvm/vcpu.h"
#include "lib/parser_image.h"
#include "vmi/space.h"

#define MAP_BYTES 65536

static uint8_t map[MAP_BYTES];

static const char *const inputs[] = {
    "",
    "null",
    "tru",
    "  [1, -2.5e+10, 3.]",
    "[1, 2, {\"a\": \"b\\u0041\\n\", \"c\": [true, false, null]}]",
    "{\"a\" 1}",
    "[\"\\x\"]",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]",
    "{\"key\": {\"key\": []}, \"other\": {}} ",
};

#define INPUTS (sizeof(inputs) / sizeof(inputs[0]))

TestSuite(cover, .init = open_image, .fini = close_image);

/* All of the parser: from its first function to the planted bugs. */
static struct cover_code
parser_code(void)
{
	struct cover_code code = {.symbols = image.symbols};
	struct lf_symbol symbol;
	uint64_t end;

	OK(lf_symbols_lookup(image.symbols, "json_check", &symbol, &error));
	end = symbol.address + symbol.size;
	OK(lf_symbols_lookup(image.symbols, "peek", &symbol, &error));
	code.spec.ranges[0] = (struct blocks_range){symbol.address, end};
	code.spec.range_count = 1;
	code.spec.sweep = true;
	return code;
}

static struct lf_domain *
fork_image(void)
{
	struct lf_domain *domain;

	OK(lf_domain_fork(image.snapshot, NULL, &domain, &error));
	return domain;
}

static void
put_input(struct lf_domain *domain, const char *text)
{
	uint64_t len = strlen(text);

	OK(lf_memory_write(domain, SHARED(bytes), text, len + 1, &error));
	OK(lf_memory_write(domain, SHARED(len), &len, sizeof(len), &error));
}

/* What a session does with an input; returns the exits that it took. */
static unsigned
run(struct cover *cover, struct lf_domain *domain, const char *text)
{
	struct cover_event event;
	struct lf_exit exit;
	unsigned exits = 0;
	int rc;

	do {
		OK(lf_domain_reset(domain, &error));
		put_input(domain, text);
		memset(map, 0, sizeof(map));
		cover->input = (const uint8_t *)text;
		cover->input_len = strlen(text);
		OK(cover->ops->begin(cover, &error));
		do {
			OK(lf_domain_run(domain, &exit, &error));
			exits++;
			rc = cover->ops->exit(cover, &exit, &event, &error);
			cr_assert_geq(rc, 0, "%s", error.message);
		} while (rc == COVER_GO_ON);
		cr_assert_eq(rc, COVER_PASS);
		cr_assert_eq(exit.reason, LF_EXIT_IO, "%s '%s'",
		    lf_exit_name(&exit), text);
		cr_assert_eq(exit.io.port, MICRO_DONE_PORT);
		rc = cover->ops->end(cover, &error);
		cr_assert_geq(rc, 0, "%s", error.message);
	} while (rc == COVER_AGAIN);
	return exits;
}

static void
expect_result(struct lf_domain *domain, const char *text)
{
	struct lf_domain *plain = fork_image();
	uint64_t wanted, found;
	struct lf_exit exit;

	put_input(plain, text);
	OK(lf_domain_run(plain, &exit, &error));
	OK(lf_memory_read(plain, SHARED(result), &wanted, 8, &error));
	OK(lf_memory_read(domain, SHARED(result), &found, 8, &error));
	cr_assert_eq(found, wanted, "'%s'", text);
	lf_domain_free(plain);
}

static void
attach(struct cover *cover, struct lf_domain *domain)
{
	cover->domain = domain;
	OK(cover->ops->attach(cover, domain, &error));
}

static void
note(const struct blocks *blocks, uint64_t rip, uint8_t *seen)
{
	uint32_t block = blocks_at(blocks, rip);

	if (block != BLOCKS_NONE)
		seen[block] = 1;
}

/* The guest's memory where the guest has it, and its parser called. */
static void
be_the_guest(const uint8_t *memory, uint64_t address, const char *text)
{
	int (*check)(const uint8_t *, uint64_t);
	void *at = (void *)MICRO_IMAGE;

	if (mmap(at, MICRO_FREE - MICRO_IMAGE,
		PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != at)
		_exit(2);
	memcpy(at, memory, MICRO_FREE - MICRO_IMAGE);
	check = (int (*)(const uint8_t *, uint64_t))address;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(3);
	raise(SIGSTOP);
	check((const uint8_t *)SHARED(bytes), strlen(text));
	_exit(0);
}

/*
 * The same code at the same addresses with the same input, single-stepped as a
 * process of this machine.
 */
static void
single_step_outside(const struct blocks *blocks, const char *text,
    struct lf_domain *domain, uint8_t *seen)
{
	uint8_t *memory = malloc(MICRO_FREE - MICRO_IMAGE);
	struct user_regs_struct regs;
	int status;
	pid_t pid;

	OK(lf_memory_read(
	    domain, MICRO_IMAGE, memory, MICRO_FREE - MICRO_IMAGE, &error));
	pid = fork();
	if (pid == 0)
		be_the_guest(
		    memory, micro_image_symbol(&image, "json_check"), text);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	while (WIFSTOPPED(status)) {
		cr_assert_eq(ptrace(PTRACE_GETREGS, pid, NULL, &regs), 0);
		note(blocks, regs.rip, seen);
		cr_assert_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		cr_assert_eq(waitpid(pid, &status, 0), pid);
	}
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	    "the stepped process ended with status 0x%x", status);
	free(memory);
}

/*
 * One instruction at a time: which blocks begin where it stands. Where KVM
 * does not report steps the same is done without KVM.
 */
static void
single_step(const struct blocks *blocks, const char *text, uint8_t *seen)
{
	static const struct vcpu_debug step = {.single_step = true};
	struct lf_domain *domain = fork_image();
	struct kvm_domain *kvm = domain->impl;
	struct lf_exit exit;
	unsigned steps;

	put_input(domain, text);
	OK(vcpu_set_debug(vm_vcpu(kvm->vm, 0), &step, &error));
	for (steps = 0; steps < 1000000; steps++) {
		OK(lf_domain_run(domain, &exit, &error));
		if (exit.reason != LF_EXIT_DEBUG)
			break;
		note(blocks, exit.debug.rip, seen);
	}
	if (steps == 0)
		single_step_outside(blocks, text, domain, seen);
	else
		cr_assert_eq(exit.reason, LF_EXIT_IO, "%s after %u steps",
		    lf_exit_name(&exit), steps);
	lf_domain_free(domain);
}

Test(cover, block_edge_and_single_stepping_see_the_same_blocks)
{
	struct cover_code code = parser_code();
	struct lf_domain *for_blocks = fork_image(), *for_edges = fork_image();
	struct cover_probes block_probes = {0}, edge_probes = {0};
	struct cover *block, *edge;
	const struct blocks *blocks;
	size_t i, b, count, executed = 0;
	uint8_t *stepped;

	OK(cover_block_new(
	    &code, &block_probes, map, sizeof(map), &block, &error));
	OK(cover_edge_new(
	    &code, &edge_probes, map, sizeof(map), &edge, &error));
	attach(block, for_blocks);
	attach(edge, for_edges);
	blocks = cover_block_blocks(block);
	count = blocks_count(blocks);
	cr_assert_eq(blocks_count(cover_edge_blocks(edge)), count);
	cr_assert_gt(count, 60);
	stepped = calloc(count, 1);
	for (i = 0; i < INPUTS; i++) {
		run(block, for_blocks, inputs[i]);
		expect_result(for_blocks, inputs[i]);
		run(edge, for_edges, inputs[i]);
		expect_result(for_edges, inputs[i]);
		single_step(blocks, inputs[i], stepped);
		for (b = 0; b < count; b++) {
			const struct cover_block *where = blocks_get(blocks, b);

			cr_assert_eq(cover_edge_seen(edge)[b], stepped[b],
			    "'%s': edge and steps differ at 0x%lx: %d %d",
			    inputs[i], where->start, cover_edge_seen(edge)[b],
			    stepped[b]);
			if (where->end - where->start <
			    lf_probes_length(block_probes.set))
				continue;
			cr_assert_eq(cover_block_seen(block)[b], stepped[b],
			    "'%s': block and steps differ at 0x%lx: %d %d",
			    inputs[i], where->start, cover_block_seen(block)[b],
			    stepped[b]);
		}
	}
	for (b = 0; b < count; b++)
		executed += stepped[b];
	cr_assert_gt(executed, count / 2, "%zu of %zu", executed, count);
	free(stepped);
	block->ops->free(block);
	edge->ops->free(edge);
	cover_probes_done(&block_probes);
	cover_probes_done(&edge_probes);
	lf_domain_free(for_blocks);
	lf_domain_free(for_edges);
}

Test(cover, a_block_costs_one_exit_and_the_same_input_gives_the_same_map)
{
	struct cover_code code = parser_code();
	struct lf_domain *domain = fork_image();
	struct cover_probes probes = {0};
	static uint8_t first[MAP_BYTES];
	struct cover *block;
	unsigned exits;

	OK(cover_block_new(&code, &probes, map, sizeof(map), &block, &error));
	attach(block, domain);
	exits = run(block, domain, inputs[4]);
	cr_assert_gt(exits, 20);
	memcpy(first, map, sizeof(map));
	exits = run(block, domain, inputs[4]);
	cr_assert_eq(exits, 1);
	cr_assert_arr_eq(map, first, sizeof(map));
	/* Nothing new: no exits, an almost empty map. */
	exits = run(block, domain, "[1, 2]");
	cr_assert_eq(exits, 1);
	cr_assert_neq(memcmp(map, first, sizeof(map)), 0);
	run(block, domain, inputs[6]);
	exits = run(block, domain, inputs[4]);
	cr_assert_eq(exits, 1);
	cr_assert_arr_eq(map, first, sizeof(map));
	OK(lf_domain_reset(domain, &error));
	OK(lf_domain_verify(domain, &error));
	block->ops->free(block);
	cover_probes_done(&probes);
	lf_domain_free(domain);
}

Test(cover, edges_of_the_same_input_are_the_same_and_of_another_differ)
{
	struct cover_code code = parser_code();
	struct lf_domain *domain = fork_image();
	struct cover_probes probes = {0};
	static uint8_t first[MAP_BYTES];
	struct cover *edge;

	OK(cover_edge_new(&code, &probes, map, sizeof(map), &edge, &error));
	attach(edge, domain);
	run(edge, domain, "[1, 2]");
	memcpy(first, map, sizeof(map));
	run(edge, domain, "[1, 2, 3]");
	cr_assert_neq(memcmp(map, first, sizeof(map)), 0);
	run(edge, domain, "[1, 2]");
	cr_assert_arr_eq(map, first, sizeof(map));
	OK(lf_domain_reset(domain, &error));
	OK(lf_domain_verify(domain, &error));
	edge->ops->free(edge);
	cover_probes_done(&probes);
	lf_domain_free(domain);
}

Test(cover, one_function_is_left_and_entered_again)
{
	struct cover_code code = {.symbols = image.symbols};
	struct lf_domain *domain = fork_image();
	struct cover_probes probes = {0};
	struct cover *edge;
	const struct blocks *blocks;
	uint8_t *stepped;
	size_t b;

	/* It calls itself through another function. */
	OK(blocks_spec_add_symbol(&code.spec, "value", image.symbols, &error));
	OK(cover_edge_new(&code, &probes, map, sizeof(map), &edge, &error));
	attach(edge, domain);
	blocks = cover_edge_blocks(edge);
	stepped = calloc(blocks_count(blocks), 1);
	run(edge, domain, inputs[4]);
	expect_result(domain, inputs[4]);
	single_step(blocks, inputs[4], stepped);
	for (b = 0; b < blocks_count(blocks); b++)
		cr_assert_eq(cover_edge_seen(edge)[b], stepped[b], "at 0x%lx",
		    blocks_get(blocks, b)->start);
	free(stepped);
	edge->ops->free(edge);
	cover_probes_done(&probes);
	lf_domain_free(domain);
}

static const char *
make_list(const char *text)
{
	static char path[] = "/tmp/blocks.XXXXXX";
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return path;
}

Test(cover, of_a_large_map_so_much_is_used_as_there_are_blocks)
{
	cr_assert_eq(cover_code_map(4096, 100000), 4096);
	cr_assert_eq(cover_code_map(65536, 100000), 65536);
	cr_assert_eq(cover_code_map(8U << 20, 1), 65536);
	cr_assert_eq(cover_code_map(8U << 20, 32768), 65536);
	cr_assert_eq(cover_code_map(8U << 20, 32769), 131072);
	cr_assert_eq(cover_code_map(100000, 40000), 100000);
	cr_assert_eq(cover_code_map(8U << 20, SIZE_MAX), 8U << 20);
}

Test(cover, a_list_of_blocks_is_taken_as_it_is)
{
	struct cover_code code = {.symbols = image.symbols};
	struct lf_domain *domain = fork_image();
	struct cover_probes probes = {0};
	struct cover *block;

	code.list_path =
	    make_list("# functions\njson_check\n\n  string # one\n");
	OK(cover_block_new(&code, &probes, map, sizeof(map), &block, &error));
	attach(block, domain);
	unlink(code.list_path);
	cr_assert_eq(blocks_count(cover_block_blocks(block)), 2);
	run(block, domain, "[1]");
	cr_assert_eq(map[1] + map[2], 1, "json_check only");
	run(block, domain, "\"a\"");
	cr_assert_eq(map[1] + map[2], 2);
	block->ops->free(block);
	cover_probes_done(&probes);
	lf_domain_free(domain);
}

Test(cover, what_makes_no_sense_is_refused)
{
	struct blocks_spec spec = {0};
	struct cover_code code = {.symbols = NULL};
	struct lf_domain *domain = fork_image();
	struct cover_probes probes = {0};
	struct blocks *blocks;
	struct cover *cover;
	const char *list;

	cr_assert_eq(
	    blocks_spec_add_range(&spec, "0x100", NULL, &error), -EINVAL);
	cr_assert_str_eq(
	    error.message, "range '0x100' is not START-END or START+LENGTH");
	cr_assert_eq(
	    blocks_spec_add_range(&spec, "0x200-0x100", NULL, &error), -EINVAL);
	OK(blocks_spec_add_range(&spec, "0x100-0x200", NULL, &error));
	cr_assert_eq(
	    blocks_spec_add_range(&spec, "0x180+0x100", NULL, &error), -EINVAL);
	cr_assert_str_eq(error.message, "range '0x180+0x100' overlaps another");
	cr_assert_eq(
	    blocks_spec_add_symbol(&spec, "json_chek", image.symbols, &error),
	    -ENOENT);
	cr_assert(
	    strstr(error.message, "json_check") != NULL, "%s", error.message);
	cr_assert_eq(blocks_spec_add_symbol(&spec, "x", NULL, &error), -EINVAL);

	cr_assert_eq(
	    cover_block_new(&code, &probes, map, 1, &cover, &error), -EINVAL);
	OK(cover_block_new(&code, &probes, map, sizeof(map), &cover, &error));
	cr_assert_eq(cover->ops->attach(cover, domain, &error), -EINVAL);
	cover->ops->free(cover);

	list = make_list("json_check\nnothing_like_it\n");
	cr_assert_eq(
	    blocks_read(list, image.symbols, &blocks, &error), -EBADMSG);
	unlink(list);
	cr_assert(
	    strstr(error.message, ", line 2: ") != NULL, "%s", error.message);
	cr_assert_eq(
	    blocks_read("/nonexistent", NULL, &blocks, &error), -ENOENT);
	cover_probes_done(&probes);
	lf_domain_free(domain);
}

/* --- branches that are taken for the vCPU --- */

/* The page tables' last level (lib/micro_image.c). */
#define PAGE_TABLE 0x4000UL

/* Gives the page that an address is in other rights. */
static void
set_rights(struct lf_domain *domain, uint64_t address, uint64_t flags)
{
	uint64_t entry = (address & ~4095UL) | flags;

	OK(lf_memory_write(domain, PAGE_TABLE + address / 4096 * 8, &entry,
	    sizeof(entry), &error));
}

Test(cover, a_branch_that_would_fault_is_left_to_the_vcpu)
{
	static const uint8_t call[] = {0xe8, 0, 1, 0, 0}, ret[] = {0xc3};
	/* Read-only, as after fork(2); clean; the kernel's; not there. */
	static const uint64_t flags[] = {0x65, 0x27, 0x63, 0x66};
	struct lf_domain *domain = fork_image();
	struct lf_vcpu_regs regs, before;
	struct insn calls, returns;
	struct vmi_space space;
	uint64_t word = 0;
	size_t i;

	OK(lf_vcpu_read_regs(domain, 0, &regs, &error));
	OK(vmi_space_init(&space, domain, 0, &error));
	before = regs;
	OK(insn_decode(INSN_64, call, sizeof(call), regs.rip, &calls, &error));
	OK(insn_decode(INSN_64, ret, sizeof(ret), 0, &returns, &error));
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		set_rights(domain, regs.rsp - 8, flags[i]);
		cr_expect_eq(branch_take(&calls, &space, &regs), 0, "%zu", i);
		cr_expect_eq(regs.rip, before.rip);
		cr_expect_eq(regs.rsp, before.rsp);
	}
	OK(lf_memory_read(domain, regs.rsp - 8, &word, 8, &error));
	cr_expect_eq(word, 0, "nothing was written");
	set_rights(domain, regs.rsp - 8, 0x67);
	cr_expect_eq(branch_take(&calls, &space, &regs), 1);
	cr_expect_eq(regs.rip, before.rip + 0x105);
	OK(lf_memory_read(domain, regs.rsp, &word, 8, &error));
	cr_expect_eq(word, before.rip + 5);

	/* A return reads only, but not what is the kernel's. */
	set_rights(domain, regs.rsp, 0x63);
	cr_expect_eq(branch_take(&returns, &space, &regs), 0);
	set_rights(domain, regs.rsp, 0x25);
	cr_expect_eq(branch_take(&returns, &space, &regs), 1);
	cr_expect_eq(regs.rip, before.rip + 5);
	cr_expect_eq(regs.rsp, before.rsp);
	lf_domain_free(domain);
}
