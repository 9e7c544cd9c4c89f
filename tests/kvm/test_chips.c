/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The chips that a VM has inside KVM: the guest changes each, loading brings
 * it back, one that is left out is found by verifying. Then the same through
 * forks: reset, freeze, another process, and policies without chips.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libfork/libfork.h>

#include "cpu/msr.h"
#include "kvm/vm_chips.h"
#include "lib/micro.h"
#include "lib/microvm.h"
#include "snapshot/snapshot.h"

#define DONE 0xe6, MICRO_DONE_PORT
#define CODE(...)                    \
	.code = {__VA_ARGS__, DONE}, \
	.len = sizeof((uint8_t[]){__VA_ARGS__, DONE})

struct chip_case {
	enum cpu_chip_index chip;
	uint8_t code[64];
	unsigned len;
};

static const struct chip_case cases[] = {
    /* Slave PIC: al = 0x5a; out 0xa1, al; then both initialized. */
    {CPU_CHIP_INDEX_PIC, CODE(0xb0, 0x5a, 0xe6, 0xa1)},
    {CPU_CHIP_INDEX_PIC,
	CODE(0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x30, 0xe6, 0x21, 0xb0, 4, 0xe6,
	    0x21, 0xb0, 1, 0xe6, 0x21, 0xb0, 0xff, 0xe6, 0x21)},
    /* IOAPIC: redirection entry of pin 3: masked, vector 0x42. */
    {CPU_CHIP_INDEX_IOAPIC, CODE(0xb8, 0, 0, 0xc0, 0xfe, 0xc7, 0, 0x16, 0, 0, 0,
				0xc7, 0x40, 0x10, 0x42, 0, 1, 0)},
    /* PIT channel 0: rate generator, one tick a reload of 0x1234. */
    {CPU_CHIP_INDEX_PIT, CODE(0xb0, 0x34, 0xe6, 0x43, 0xb0, 0x34, 0xe6, 0x40,
			     0xb0, 0x12, 0xe6, 0x40)},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

static const struct vm_recipe full = {.vcpus = 1, .irqchip = VM_IRQCHIP_FULL};

static struct lf_error error;

#define OK(call)                                                         \
	do {                                                             \
		int ok_rc = (call);                                      \
		cr_assert_geq(ok_rc, 0, "%s: %s", #call, error.message); \
	} while (0)

static void
need_kvm(void)
{
	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
}

TestSuite(chips, .init = need_kvm);

static void
check_chip(struct microvm *micro, const struct chip_case *c)
{
	const char *title = cpu_chip_title(c->chip);
	uint32_t bit = 1U << c->chip;
	struct cpu_chips chips = {0};
	struct lf_exit exit;

	microvm_code(micro, c->code, c->len);
	microvm_start(micro, 0, 3, 0);
	OK(vm_chips_get(micro->vm, CPU_CHIP_ALL, &chips, &error));
	OK(vm_chips_set(micro->vm, CPU_CHIP_ALL, &chips, &error));
	OK(vm_chips_verify(micro->vm, CPU_CHIP_ALL, &chips, &error));
	microvm_run(micro, 0, &exit);
	cr_assert_eq(exit.reason, LF_EXIT_IO, "%s", lf_exit_name(&exit));
	cr_assert_eq(exit.io.port, MICRO_DONE_PORT, "0x%x", exit.io.port);
	OK(vcpu_answer_nobody(vm_vcpu(micro->vm, 0), &error));

	OK(vm_chips_set(micro->vm, CPU_CHIP_ALL & ~bit, &chips, &error));
	cr_assert_eq(vm_chips_verify(micro->vm, CPU_CHIP_ALL, &chips, &error),
	    -EBADMSG, "%s: left out and not found", title);
	cr_assert_not_null(strstr(error.message, title),
	    "%s: left out, found is: %s", title, error.message);

	OK(vm_chips_set(micro->vm, CPU_CHIP_ALL, &chips, &error));
	OK(vm_chips_verify(micro->vm, CPU_CHIP_ALL, &chips, &error));
}

Test(chips, each_comes_back_and_is_missed_when_left_out)
{
	struct microvm micro;
	unsigned i;

	microvm_init(&micro, &full);
	for (i = 0; i < CASES; i++)
		check_chip(&micro, &cases[i]);
	microvm_done(&micro);
}

Test(chips, a_clock_that_was_not_set_is_found)
{
	struct cpu_chips chips = {0}, other;
	struct microvm micro;

	microvm_init(&micro, &full);
	OK(vm_chips_get(micro.vm, CPU_CHIP_CLOCK, &chips, &error));
	chips.clock.ns = 3600UL * 1000000000;
	other = chips;
	other.clock.ns *= 2;
	OK(vm_chips_set(micro.vm, CPU_CHIP_CLOCK, &chips, &error));
	OK(vm_chips_verify(micro.vm, CPU_CHIP_CLOCK, &chips, &error));
	OK(vm_chips_set(micro.vm, CPU_CHIP_CLOCK, &other, &error));
	cr_assert_eq(vm_chips_verify(micro.vm, CPU_CHIP_CLOCK, &chips, &error),
	    -EBADMSG);
	cr_assert_eq(strncmp(error.message, "clock: it is at 7200", 20), 0,
	    "%s", error.message);
	microvm_done(&micro);
}

/* --- forks --- */

#define SLAVE_DATA_PORT 0xa1
#define CODE_AT         (MICRO_DATA + 0x10000)
#define CLOCK_PAGE      (MICRO_DATA + 0x20000)
#define HOUR_NS         (3600UL * 1000000000)

/* al = 0x5a; out 0xa1, al; out MICRO_PORT, al */
static const uint8_t set_mask[] = {0xb0, 0x5a, 0xe6, 0xa1, 0xe6, MICRO_PORT};
/* in al, 0xa1; out MICRO_PORT, al */
static const uint8_t get_mask[] = {0xe4, 0xa1, 0xe6, MICRO_PORT};

static struct lf_snapshot *
full_snapshot(void)
{
	struct lf_snapshot_builder *builder = micro_builder(4UL << 20);
	struct lf_snapshot *snapshot;
	struct lf_vcpu_regs regs;

	micro_regs(MICRO_COUNT, &regs);
	OK(lf_snapshot_builder_add_vcpu(builder, &regs, &error));
	OK(lf_snapshot_builder_set_irqchip(builder, LF_IRQCHIP_FULL, &error));
	OK(lf_snapshot_builder_finish(builder, &snapshot, &error));
	lf_snapshot_builder_free(builder);
	return snapshot;
}

static struct lf_domain *
fork_with(struct lf_snapshot *snapshot, enum lf_interrupts interrupts,
    unsigned groups)
{
	struct lf_fork_options options;
	struct lf_domain *domain;

	lf_fork_options_init(&options);
	options.interrupts = interrupts;
	options.reset_groups = groups;
	options.verify_every = 1;
	OK(lf_domain_fork(snapshot, &options, &domain, &error));
	return domain;
}

/* Runs `code` in the fork until it exits at `port`; the byte written there. */
static uint8_t
run_code(struct lf_domain *domain, const void *code, size_t len, uint16_t port)
{
	struct lf_vcpu_regs regs;
	struct lf_exit exit;
	uint8_t byte;

	OK(lf_memory_write(domain, CODE_AT, code, len, &error));
	OK(lf_vcpu_read_regs(domain, 0, &regs, &error));
	regs.rip = CODE_AT;
	OK(lf_vcpu_write_regs(domain, 0, &regs, &error));
	OK(lf_domain_run(domain, &exit, &error));
	cr_assert_eq(exit.reason, LF_EXIT_IO, "%s", lf_exit_name(&exit));
	cr_assert_eq(exit.io.port, port, "port 0x%x", exit.io.port);
	byte = exit.io.write ? *(const uint8_t *)exit.io.data : 0;
	OK(lf_domain_answer(domain, "", exit.io.write ? 0 : 1, &error));
	return byte;
}

static uint8_t
read_mask(struct lf_domain *domain)
{
	return run_code(domain, get_mask, sizeof(get_mask), MICRO_PORT);
}

static void
write_mask(struct lf_domain *domain)
{
	run_code(domain, set_mask, sizeof(set_mask), MICRO_PORT);
}

Test(chips, a_fork_is_reset_with_its_chips)
{
	struct lf_snapshot *snapshot = full_snapshot();
	struct lf_domain *fork =
	    fork_with(snapshot, LF_INTERRUPTS_ALL, LF_RESET_ALL);
	unsigned i;

	for (i = 0; i < 20; i++) {
		cr_assert_eq(read_mask(fork), 0);
		write_mask(fork);
		cr_assert_eq(read_mask(fork), 0x5a);
		cr_assert_eq(lf_domain_verify(fork, &error), -EILSEQ);
		OK(lf_domain_reset(fork, &error));
	}
	lf_domain_free(fork);

	fork = fork_with(
	    snapshot, LF_INTERRUPTS_ALL, LF_RESET_ALL & ~LF_RESET_INTERRUPTS);
	write_mask(fork);
	OK(lf_domain_reset(fork, &error));
	cr_assert_eq(lf_domain_verify(fork, &error), -EILSEQ);
	cr_assert_str_eq(error.message,
	    "the VM differs from the snapshot: interrupt controllers (PIC): "
	    "pic.slave.imr is 0x5a, 0x0 wanted");
	lf_domain_free(fork);
	lf_snapshot_unref(snapshot);
}

/*
 * A PIT that ticks while the guest stands, into a LAPIC's vector: what it does
 * there by itself is no difference, another vector is one.
 */
#define TICK_VECTOR  0x42
#define OTHER_VECTOR 0x43
#define TICK_COUNT   1193 /* of 1.193 MHz: a millisecond */

/* True when the tick had come by the time at which nothing differed. */
static bool
ticks_and_verifies(struct lf_snapshot *ticking)
{
	struct lf_domain *fork =
	    fork_with(ticking, LF_INTERRUPTS_ALL, LF_RESET_ALL);
	struct lf_snapshot *frozen;
	bool ticked;

	OK(lf_domain_reset(fork, &error));
	usleep(20000);
	OK(lf_domain_verify(fork, &error));
	OK(lf_domain_freeze(fork, &frozen, &error));
	ticked = cpu_lapic_pending(&frozen->vcpus[0]->lapic, TICK_VECTOR);
	lf_snapshot_unref(frozen);
	lf_domain_free(fork);
	return ticked;
}

Test(chips, a_timer_that_ticks_by_itself_is_no_difference)
{
	struct lf_snapshot *snapshot, *ticking;
	struct lf_domain *fork;
	struct cpu_lapic *lapic;
	unsigned ticks = 0, rounds;

	/* A KVM in software has it tick only while the guest runs. */
	if (microvm_why_not_native()[0] != '\0')
		cr_skip_test("%s", microvm_why_not_native());
	snapshot = full_snapshot();
	fork = fork_with(snapshot, LF_INTERRUPTS_ALL, LF_RESET_ALL);
	OK(lf_domain_freeze(fork, &ticking, &error));
	lf_domain_free(fork);
	lapic = &ticking->vcpus[0]->lapic;
	cpu_lapic_write(lapic, 0xf0, 0x1ff);
	ticking->chips->ioapic.redirtbl[0] = TICK_VECTOR;
	ticking->chips->ioapic.redirtbl[2] = TICK_VECTOR;
	ticking->chips->pit.channel[0].count = TICK_COUNT;
	ticking->chips->pit.channel[0].mode = 2;
	ticking->chips->pit.channel[0].rw_mode = 3;
	ticking->chips->pit.channel[0].gate = 1;
	for (rounds = 0; ticks < 3 && rounds < 500; rounds++)
		ticks += ticks_and_verifies(ticking);
	cr_assert_eq(ticks, 3);

	/* One that it does not raise. */
	fork = fork_with(ticking, LF_INTERRUPTS_ALL, LF_RESET_ALL);
	cpu_lapic_set_pending(lapic, OTHER_VECTOR, true);
	cr_assert_eq(lf_domain_verify(fork, &error), -EILSEQ);
	cr_assert_not_null(
	    strstr(error.message, "lapic.register["), "%s", error.message);
	lf_domain_free(fork);
	lf_snapshot_unref(ticking);
	lf_snapshot_unref(snapshot);
}

/* Over a socket, as if to another process. */
static struct lf_snapshot *
sent(struct lf_snapshot *snapshot)
{
	struct lf_snapshot *received;
	int sockets[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	OK(lf_snapshot_send(sockets[0], snapshot, &error));
	OK(lf_snapshot_receive(sockets[1], &received, &error));
	close(sockets[0]);
	close(sockets[1]);
	return received;
}

Test(chips, a_frozen_fork_has_the_chips_it_had)
{
	struct lf_snapshot *snapshot = full_snapshot(), *frozen, *received;
	struct lf_domain *fork =
	    fork_with(snapshot, LF_INTERRUPTS_ALL, LF_RESET_ALL);
	struct lf_domain *child;

	write_mask(fork);
	OK(lf_domain_freeze(fork, &frozen, &error));
	received = sent(frozen);
	child = fork_with(received, LF_INTERRUPTS_ALL, LF_RESET_ALL);
	cr_assert_eq(read_mask(child), 0x5a);
	OK(lf_domain_reset(child, &error));
	cr_assert_eq(read_mask(child), 0x5a);
	lf_domain_free(child);
	lf_domain_free(fork);
	lf_snapshot_unref(received);
	lf_snapshot_unref(frozen);
	lf_snapshot_unref(snapshot);
}

/* Where they are not to be heard they are not inside KVM, but not forgotten. */
Test(chips, a_fork_with_blocked_interrupts_only_keeps_them)
{
	struct lf_snapshot *snapshot = full_snapshot(), *frozen, *again;
	struct lf_domain *fork =
	    fork_with(snapshot, LF_INTERRUPTS_ALL, LF_RESET_ALL);
	struct lf_domain *quiet;

	write_mask(fork);
	OK(lf_domain_freeze(fork, &frozen, &error));
	quiet = fork_with(frozen, LF_INTERRUPTS_BLOCK, LF_RESET_ALL);
	run_code(quiet, set_mask, sizeof(set_mask), SLAVE_DATA_PORT);
	OK(lf_domain_reset(quiet, &error));
	OK(lf_domain_freeze(quiet, &again, &error));
	OK(cpu_chips_compare(
	    frozen->chips, again->chips, CPU_CHIP_ALL, &error));
	cr_assert_geq(again->chips->clock.ns, frozen->chips->clock.ns);
	lf_domain_free(quiet);
	lf_domain_free(fork);
	lf_snapshot_unref(again);
	lf_snapshot_unref(frozen);
	lf_snapshot_unref(snapshot);
}

/* With the clock's MSRs given to KVM, it tells the time of the snapshot. */
Test(chips, a_pv_clock_goes_on_from_the_snapshots)
{
	struct lf_snapshot *snapshot = full_snapshot();
	struct lf_domain *fork =
	    fork_with(snapshot, LF_INTERRUPTS_ALL, LF_RESET_ALL);
	struct lf_fork_options options;
	uint64_t told;
	unsigned i;

	lf_domain_free(fork);
	/* One and the same by its old and its new number. */
	OK(cpu_state_set_msr(
	    snapshot->vcpus[0], MSR_KVM_SYSTEM_TIME, CLOCK_PAGE | 1, &error));
	OK(cpu_state_set_msr(snapshot->vcpus[0], MSR_KVM_SYSTEM_TIME_NEW,
	    CLOCK_PAGE | 1, &error));
	snapshot->chips->clock.ns = HOUR_NS;
	lf_fork_options_init(&options);
	options.pv_clock = true;
	options.verify_every = 1;
	OK(lf_domain_fork(snapshot, &options, &fork, &error));
	for (i = 0; i < 3; i++) {
		run_code(fork, get_mask, sizeof(get_mask), SLAVE_DATA_PORT);
		/* struct pvclock_vcpu_time_info: system_time. */
		OK(lf_memory_read(
		    fork, CLOCK_PAGE + 16, &told, sizeof(told), &error));
		cr_assert_geq(told, HOUR_NS);
		cr_assert_lt(told, 2 * HOUR_NS);
		OK(lf_domain_reset(fork, &error));
	}
	lf_domain_free(fork);
	lf_snapshot_unref(snapshot);
}
