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


#include "kvm/vm_chips.h"
#include "lib/microvm.h"

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
