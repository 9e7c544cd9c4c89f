/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Device accesses: every kind is taken back to exactly before the instruction,
 * repeated by the next run, and, answered, completes exactly once. Each case
 * runs at CPL 3, and at CPL 0 where kernel-mode code runs natively.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/microvm.h"

#define PORT 0x1f0
#define DONE 0xe6, MICRO_DONE_PORT /* out MICRO_DONE_PORT, al */

/* Registers that cases begin with; the string registers are set per case. */
#define PATTERN_A 0x1122334455667788ULL
#define PATTERN_B 0x99aabbccddeeff00ULL

enum where { NOTHING, RAM, HOLE };

struct access_case {
	const char *name;
	uint8_t code[24];
	unsigned len;
	unsigned lead;            /* bytes of code before the instruction */
	enum where rsi, rdi, rsp; /* what they point to */
	uint64_t rcx;
	bool down; /* DF */
	/* The first exit. */
	enum lf_exit_reason reason;
	bool write;
	unsigned size;
	/* Exits until it is done. */
	unsigned exits;
	bool sse;
};

#define CODE(...)                    \
	.code = {__VA_ARGS__, DONE}, \
	.len = sizeof((uint8_t[]){__VA_ARGS__, DONE})
#define IO_IN(n)      .reason = LF_EXIT_IO, .size = n
#define IO_OUT(n)     .reason = LF_EXIT_IO, .size = n, .write = true
#define MMIO_READ(n)  .reason = LF_EXIT_MMIO, .size = n
#define MMIO_WRITE(n) .reason = LF_EXIT_MMIO, .size = n, .write = true

/* RBX points to the hole, RDX is PORT. */
static const struct access_case cases[] = {
    {"in al, imm8", CODE(0xe4, 0x70), IO_IN(1), .exits = 1},
    {"in ax, dx", CODE(0x66, 0xed), IO_IN(2), .exits = 1},
    {"in eax, dx", CODE(0xed), IO_IN(4), .exits = 1},
    {"out imm8, al", CODE(0xe6, 0x70), IO_OUT(1), .exits = 1},
    {"out dx, al", CODE(0xee), IO_OUT(1), .exits = 1},
    {"out dx, ax", CODE(0x66, 0xef), IO_OUT(2), .exits = 1},
    {"out dx, eax", CODE(0xef), IO_OUT(4), .exits = 1},
    {"out behind an immediate that looks like a prefix", CODE(0x04, 0x66, 0xef),
	.lead = 2, IO_OUT(4), .exits = 1},
    {"two outs in a row", CODE(0xef, 0xef), IO_OUT(4), .exits = 2},
    {"out 0x7e", CODE(0xe6, 0x7e), IO_OUT(1), .exits = 1},
    {"insb", CODE(0x6c), IO_IN(1), .rdi = RAM, .exits = 1},
    {"insw", CODE(0x66, 0x6d), IO_IN(2), .rdi = RAM, .exits = 1},
    {"insd", CODE(0x6d), IO_IN(4), .rdi = RAM, .exits = 1},
    {"rep insb", CODE(0xf3, 0x6c), IO_IN(1), .rdi = RAM, .rcx = 5},
    {"rep insd", CODE(0xf3, 0x6d), IO_IN(4), .rdi = RAM, .rcx = 3},
    {"rep insw downwards", CODE(0xf3, 0x66, 0x6d), IO_IN(2), .rdi = RAM,
	.rcx = 3, .down = true},
    {"outsb", CODE(0x6e), IO_OUT(1), .rsi = RAM, .exits = 1},
    {"outsw", CODE(0x66, 0x6f), IO_OUT(2), .rsi = RAM, .exits = 1},
    {"outsd", CODE(0x6f), IO_OUT(4), .rsi = RAM, .exits = 1},
    {"rep outsb", CODE(0xf3, 0x6e), IO_OUT(1), .rsi = RAM, .rcx = 5},
    {"rep outsd downwards", CODE(0xf3, 0x6f), IO_OUT(4), .rsi = RAM, .rcx = 3,
	.down = true},
    {"mov al, [rbx]", CODE(0x8a, 0x03), MMIO_READ(1), .exits = 1},
    {"mov ax, [rbx+2]", CODE(0x66, 0x8b, 0x43, 0x02), MMIO_READ(2), .exits = 1},
    {"mov eax, [rbx]", CODE(0x8b, 0x03), MMIO_READ(4), .exits = 1},
    {"mov rax, [rbx+8]", CODE(0x48, 0x8b, 0x43, 0x08), MMIO_READ(8),
	.exits = 1},
    {"movzx eax, byte [rbx]", CODE(0x0f, 0xb6, 0x03), MMIO_READ(1), .exits = 1},
    {"mov [rbx], al", CODE(0x88, 0x03), MMIO_WRITE(1), .exits = 1},
    {"mov [rbx+2], ax", CODE(0x66, 0x89, 0x43, 0x02), MMIO_WRITE(2),
	.exits = 1},
    {"mov [rbx], eax", CODE(0x89, 0x03), MMIO_WRITE(4), .exits = 1},
    {"mov [rbx+8], rax", CODE(0x48, 0x89, 0x43, 0x08), MMIO_WRITE(8),
	.exits = 1},
    {"mov dword [rbx], imm32", CODE(0xc7, 0x03, 0x78, 0x56, 0x34, 0x12),
	MMIO_WRITE(4), .exits = 1},
    {"add [rbx], eax", CODE(0x01, 0x03), MMIO_READ(4), .exits = 2},
    {"xchg [rbx], eax", CODE(0x87, 0x03), MMIO_READ(4), .exits = 2},
    {"push qword [rbx]", CODE(0xff, 0x33), MMIO_READ(8), .exits = 1},
    {"push rax to the hole", CODE(0x50), MMIO_WRITE(8), .rsp = HOLE,
	.exits = 1},
    {"movsd from the hole", CODE(0xa5), MMIO_READ(4), .rsi = HOLE, .rdi = RAM,
	.exits = 1},
    {"movsd to the hole", CODE(0xa5), MMIO_WRITE(4), .rsi = RAM, .rdi = HOLE,
	.exits = 1},
    {"rep movsb from the hole", CODE(0xf3, 0xa4), MMIO_READ(1), .rsi = HOLE,
	.rdi = RAM, .rcx = 4, .exits = 4},
    {"rep movsb to the hole, downwards", CODE(0xf3, 0xa4), MMIO_WRITE(1),
	.rsi = RAM, .rdi = HOLE, .rcx = 4, .down = true, .exits = 4},
    {"stosq to the hole", CODE(0x48, 0xab), MMIO_WRITE(8), .rdi = HOLE,
	.exits = 1},
    {"rep stosd to the hole", CODE(0xf3, 0xab), MMIO_WRITE(4), .rdi = HOLE,
	.rcx = 3, .exits = 3},
    {"movups xmm1, [rbx]", CODE(0x0f, 0x10, 0x0b), MMIO_READ(8), .exits = 2,
	.sse = true},
    {"movups [rbx], xmm1", CODE(0x0f, 0x11, 0x0b), MMIO_WRITE(8), .exits = 2,
	.sse = true},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

static uint64_t
address_of(enum where where)
{
	switch (where) {
	case RAM:
		return MICRO_FREE + 0x100;
	case HOLE:
		return MICRO_HOLE + 0x100;
	case NOTHING:
		break;
	}
	return PATTERN_B;
}

static void
begin(struct microvm *micro, const struct access_case *c, unsigned cpl)
{
	struct vcpu *vcpu;
	struct cpu_regs regs;
	struct lf_error error;
	unsigned i;

	vcpu = vm_vcpu(micro->vm, 0);
	if (vcpu_access_pending(vcpu))
		cr_assert_eq(vcpu_answer_nobody(vcpu, &error), 0);
	cr_assert_eq(vcpu_settle(vcpu, &error), 0, "%s", error.message);
	microvm_clear(micro);
	microvm_code(micro, c->code, c->len);
	for (i = 0; i < 0x400; i++)
		micro->ram[MICRO_FREE + i] = i * 7 + 1;
	microvm_start(micro, 0, cpl, 0);
	cr_assert_eq(
	    vcpu_get_regs(vcpu, &regs, &error), 0, "%s", error.message);
	regs.rax = PATTERN_A;
	regs.rbx = MICRO_HOLE;
	regs.rcx = c->rcx;
	regs.rdx = PORT;
	regs.rsi = address_of(c->rsi);
	regs.rdi = address_of(c->rdi);
	if (c->rsp != NOTHING)
		regs.rsp = address_of(c->rsp);
	if (c->down)
		regs.rflags |= 0x400;
	cr_assert_eq(
	    vcpu_set_regs(vcpu, &regs, &error), 0, "%s", error.message);
}

static bool
is_done(const struct lf_exit *exit)
{
	return exit->reason == LF_EXIT_IO && exit->io.write &&
	       exit->io.port == MICRO_DONE_PORT;
}

/* Compares what does not depend on where KVM stands inside an access. */
static void
check_exit(const struct access_case *c, const struct lf_exit *exit)
{
	cr_assert_eq(
	    exit->reason, c->reason, "%s: %s", c->name, lf_exit_name(exit));
	if (c->reason == LF_EXIT_IO) {
		cr_assert_eq(exit->io.write, c->write, "%s", c->name);
		cr_assert_eq(exit->io.size, c->size, "%s: size %u", c->name,
		    exit->io.size);
	} else {
		cr_assert_eq(exit->mmio.write, c->write, "%s", c->name);
		cr_assert_eq(exit->mmio.size, c->size, "%s: size %u", c->name,
		    exit->mmio.size);
	}
}

/* Answers a read with bytes that tell the number of the access. */
static void
answer(struct vcpu *vcpu, const struct lf_exit *exit, unsigned number)
{
	static uint8_t data[LF_EXIT_DATA_MAX];
	struct lf_error error;
	size_t len = 0;
	unsigned i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = 0x40 + number * 16 + i;
	if (exit->reason == LF_EXIT_IO && !exit->io.write)
		len = (size_t)exit->io.size * exit->io.count;
	else if (exit->reason == LF_EXIT_MMIO && !exit->mmio.write)
		len = exit->mmio.size;
	cr_assert_eq(
	    vcpu_answer(vcpu, data, len, &error), 0, "%s", error.message);
}

/* Answers accesses until the guest is done; returns how many there were. */
static unsigned
finish(struct microvm *micro, const struct access_case *c, struct lf_exit *exit)
{
	struct vcpu *vcpu = vm_vcpu(micro->vm, 0);
	unsigned number;

	for (number = 0; number < 100 && !is_done(exit); number++) {
		cr_assert(vcpu_access_pending(vcpu), "%s: %s", c->name,
		    lf_exit_name(exit));
		answer(vcpu, exit, number);
		microvm_run(micro, 0, exit);
	}
	cr_assert(
	    is_done(exit), "%s: not done: %s", c->name, lf_exit_name(exit));
	return number;
}

/* Everything that the guest can see. */
static struct cpu_state *
take(struct microvm *micro)
{
	struct cpu_state *state = vcpu_state_new(microvm_device());
	struct lf_error error;

	cr_assert_eq(
	    vcpu_state_get(vm_vcpu(micro->vm, 0), CPU_GROUP_ALL, state, &error),
	    0, "%s", error.message);
	return state;
}

static void
check_same(const struct access_case *c, unsigned cpl, const char *what,
    const struct cpu_state *wanted, const struct cpu_state *found)
{
	struct lf_error error = {0};

	cr_assert_eq(cpu_state_compare(
			 wanted, found, CPU_GROUP_ALL & ~CPU_GROUP_TSC, &error),
	    0, "%s at CPL %u: %s: %s", c->name, cpl, what, error.message);
}

/* The kernel knows what port and memory instructions it emulates; SSE is not
 * emulated by every kind of KVM. */
static bool
can_run(const struct access_case *c)
{
	return !c->sse || microvm_why_not_native()[0] == '\0';
}

static const struct vm_recipe recipe = {.vcpus = 1};

static void
check_taken_back(struct microvm *vm, struct microvm *plain_vm,
    const struct access_case *c, unsigned cpl)
{
	struct microvm micro = *vm, plain = *plain_vm;
	struct cpu_state *before, *after;
	uint8_t *ram = malloc(MICRO_RAM);
	struct lf_exit exit, plain_exit;
	struct lf_error error;
	unsigned exits, plain_exits;
	unsigned i;

	begin(&micro, c, cpl);
	memcpy(ram, micro.ram, MICRO_RAM);
	before = take(&micro);
	for (i = 0; i < 2; i++) {
		microvm_run(&micro, 0, &exit);
		check_exit(c, &exit);
		cr_assert_eq(vcpu_rollback(vm_vcpu(micro.vm, 0), &error), 0,
		    "%s at CPL %u: %s", c->name, cpl, error.message);
		cr_assert_not(vcpu_access_pending(vm_vcpu(micro.vm, 0)));
		after = take(&micro);
		cr_assert_eq(after->regs.rip, MICRO_IMAGE + c->lead,
		    "%s at CPL %u: RIP is 0x%lx", c->name, cpl,
		    after->regs.rip);
		if (i == 0 && c->lead != 0)
			before->regs = after->regs;
		check_same(c, cpl, "not as before the access", before, after);
		cpu_state_free(after);
		cr_assert_arr_eq(micro.ram, ram, MICRO_RAM,
		    "%s at CPL %u: memory is not as before the access", c->name,
		    cpl);
	}
	/* An access that nobody answers is made again by the next run. */
	microvm_run(&micro, 0, &exit);
	check_exit(c, &exit);
	microvm_run(&micro, 0, &exit);
	check_exit(c, &exit);
	exits = finish(&micro, c, &exit);

	/* The same without ever taking it back. */
	begin(&plain, c, cpl);
	microvm_run(&plain, 0, &plain_exit);
	plain_exits = finish(&plain, c, &plain_exit);
	cr_assert_eq(exits, plain_exits, "%s: %u accesses, %u without", c->name,
	    exits, plain_exits);
	if (c->exits != 0)
		cr_assert_eq(
		    exits, c->exits, "%s: %u accesses", c->name, exits);
	cpu_state_free(before);
	before = take(&plain);
	after = take(&micro);
	check_same(c, cpl, "another end", before, after);
	cr_assert_arr_eq(micro.ram, plain.ram, MICRO_RAM,
	    "%s at CPL %u: memory is another in the end", c->name, cpl);
	cpu_state_free(before);
	cpu_state_free(after);
	free(ram);
}

static void
check_all(unsigned cpl, void (*check)(struct microvm *vm, struct microvm *plain,
			    const struct access_case *c, unsigned cpl))
{
	struct microvm vm, plain;
	unsigned i;

	microvm_init(&vm, &recipe);
	microvm_init(&plain, &recipe);
	for (i = 0; i < CASES; i++)
		if (can_run(&cases[i]))
			check(&vm, &plain, &cases[i], cpl);
	microvm_done(&vm);
	microvm_done(&plain);
}

Test(access, every_kind_is_taken_back_to_exactly_before_it_at_cpl_3)
{
	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	check_all(3, check_taken_back);
}

Test(access, every_kind_is_taken_back_to_exactly_before_it_at_cpl_0)
{
	if (microvm_why_not_native()[0] != '\0')
		cr_skip_test("%s", microvm_why_not_native());
	check_all(0, check_taken_back);
}

/* A reset in the middle of an access: nothing of the access is left. */
static void
check_forgotten(struct microvm *vm, struct microvm *plain,
    const struct access_case *c, unsigned cpl)
{
	struct microvm micro = *vm;
	struct cpu_state *before;
	struct vcpu *vcpu;
	struct lf_exit exit;
	struct lf_error error = {0};
	uint8_t *ram = malloc(MICRO_RAM);
	unsigned i;

	(void)plain;
	begin(&micro, c, cpl);
	vcpu = vm_vcpu(micro.vm, 0);
	memcpy(ram, micro.ram, MICRO_RAM);
	before = take(&micro);
	for (i = 0; i < 3; i++) {
		microvm_run(&micro, 0, &exit);
		check_exit(c, &exit);
		cr_assert_eq(vcpu_state_set(vcpu, CPU_GROUP_ALL, before,
				 vcpu_state_host_tsc(), &error),
		    0, "%s: %s", c->name, error.message);
		/* Pages come last. */
		memcpy(micro.ram, ram, MICRO_RAM);
		if (i == 1)
			cr_assert_eq(vcpu_state_verify(
					 vcpu, CPU_GROUP_ALL, before, &error),
			    0, "%s: %s", c->name, error.message);
	}
	microvm_run(&micro, 0, &exit);
	check_exit(c, &exit);
	finish(&micro, c, &exit);
	cpu_state_free(before);
	free(ram);
}

Test(access, a_reset_in_the_middle_forgets_it)
{
	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	check_all(3, check_forgotten);
}

Test(access, an_answer_must_fit_the_access)
{
	static const struct access_case *c = &cases[2]; /* in eax, dx */
	struct microvm micro;
	struct lf_exit exit;
	struct lf_error error;
	struct vcpu *vcpu;
	uint32_t word = 0;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	microvm_init(&micro, &recipe);
	begin(&micro, c, 3);
	vcpu = vm_vcpu(micro.vm, 0);
	cr_assert_eq(vcpu_answer(vcpu, &word, 4, &error), -EINVAL);
	cr_assert_str_eq(error.message,
	    "vCPU 0 waits for no answer: it stands in no access");
	microvm_run(&micro, 0, &exit);
	cr_assert_eq(vcpu_answer(vcpu, &word, 2, &error), -EINVAL);
	cr_assert_str_eq(
	    error.message, "vCPU 0: an answer of 4 bytes is wanted, 2 given");
	cr_assert_eq(vcpu_answer_nobody(vcpu, &error), 0);
	cr_assert_eq(vcpu_answer(vcpu, &word, 4, &error), -EINVAL);
	microvm_run(&micro, 0, &exit);
	cr_assert(is_done(&exit));
	microvm_done(&micro);
}

Test(access, nobody_reads_as_ones)
{
	static const struct access_case *c = &cases[2];
	struct microvm micro;
	struct lf_exit exit;
	struct lf_error error;
	struct cpu_regs regs;
	struct vcpu *vcpu;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	microvm_init(&micro, &recipe);
	begin(&micro, c, 3);
	vcpu = vm_vcpu(micro.vm, 0);
	microvm_run(&micro, 0, &exit);
	cr_assert_eq(vcpu_answer_nobody(vcpu, &error), 0);
	cr_assert_eq(
	    vcpu_get_regs(vcpu, &regs, &error), 0, "%s", error.message);
	cr_assert_eq(regs.rax, 0xffffffff);
	cr_assert_eq(regs.rip, MICRO_IMAGE + 1);
	microvm_done(&micro);
}
