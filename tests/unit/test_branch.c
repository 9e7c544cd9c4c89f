/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Branches taken for a vCPU, compared with a CPU that takes them: this one.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <string.h>

#include "cover/branch.h"
#include "insn/insn.h"

#define PC 0x1000

static struct insn
decode(const uint8_t *bytes, size_t len)
{
	struct insn insn;
	struct lf_error error;

	cr_assert_eq(insn_decode(INSN_64, bytes, len, PC, &insn, &error), 0,
	    "%s", error.message);
	return insn;
}

static uint64_t
take(const uint8_t *bytes, size_t len, struct lf_vcpu_regs *regs)
{
	struct insn insn = decode(bytes, len);

	regs->rip = PC;
	cr_assert_eq(branch_take(&insn, NULL, regs), 1);
	return regs->rip;
}

/* SETcc has the conditions of Jcc, and this CPU knows them. */
static bool
holds_here(unsigned condition, uint64_t flags)
{
	uint8_t result = 0;

/* Below the red zone. */
#define SET(number, name)                                                 \
	case number:                                                      \
		__asm__("lea -128(%%rsp), %%rsp; push %1; popf; set" name \
			" %0; lea 128(%%rsp), %%rsp"                      \
			: "=q"(result)                                    \
			: "r"(flags)                                      \
			: "cc");                                          \
		break;
	switch (condition) {
		SET(0, "o")
		SET(1, "no")
		SET(2, "b")
		SET(3, "ae")
		SET(4, "e")
		SET(5, "ne")
		SET(6, "be")
		SET(7, "a")
		SET(8, "s")
		SET(9, "ns")
		SET(10, "p")
		SET(11, "np")
		SET(12, "l")
		SET(13, "ge")
		SET(14, "le")
		SET(15, "g")
	}
#undef SET
	return result;
}

Test(branch, every_condition_with_all_flags_is_as_this_cpu_has_it)
{
	static const uint64_t bits[] = {1, 4, 0x40, 0x80, 0x800};
	unsigned condition, choice, i;

	for (condition = 0; condition < 16; condition++)
		for (choice = 0; choice < 32; choice++) {
			uint8_t near[] = {0x0f, 0x80 + condition, 0, 1, 0, 0};
			uint8_t brief[] = {0x70 + condition, 0x10};
			struct lf_vcpu_regs regs = {.rflags = 2};
			bool wanted;

			for (i = 0; i < 5; i++)
				if (choice & (1U << i))
					regs.rflags |= bits[i];
			wanted = holds_here(condition, regs.rflags);
			cr_assert_eq(take(brief, 2, &regs),
			    wanted ? PC + 0x12 : PC + 2,
			    "condition %u, flags 0x%lx", condition,
			    regs.rflags);
			cr_assert_eq(
			    take(near, 6, &regs), wanted ? PC + 0x106 : PC + 6);
		}
}

Test(branch, loops_count_down)
{
	static const uint8_t loop[] = {0xe2, 0x10}, loope[] = {0xe1, 0x10},
			     loopne[] = {0xe0, 0x10}, jrcxz[] = {0xe3, 0x10},
			     narrow[] = {0x67, 0xe2, 0x10};
	struct lf_vcpu_regs regs = {.rcx = 2};

	cr_assert_eq(take(loop, 2, &regs), PC + 0x12);
	cr_assert_eq(regs.rcx, 1);
	cr_assert_eq(take(loop, 2, &regs), PC + 2);
	cr_assert_eq(regs.rcx, 0);
	cr_assert_eq(take(jrcxz, 2, &regs), PC + 0x12);
	regs.rcx = 0x100000000;
	cr_assert_eq(take(jrcxz, 2, &regs), PC + 2);
	cr_assert_eq(take(narrow, 3, &regs), PC + 0x13);
	cr_assert_eq(regs.rcx, 0xffffffff);
	regs = (struct lf_vcpu_regs){.rcx = 5, .rflags = 0x40};
	cr_assert_eq(take(loope, 2, &regs), PC + 0x12);
	cr_assert_eq(take(loopne, 2, &regs), PC + 2);
	regs.rflags = 0;
	cr_assert_eq(take(loope, 2, &regs), PC + 2);
	cr_assert_eq(take(loopne, 2, &regs), PC + 0x12);
	cr_assert_eq(regs.rcx, 1);
}

Test(branch, jumps_go_where_they_say)
{
	static const uint8_t jump[] = {0xeb, 0xfe}, far[] = {0xe9, 0, 1, 0, 0},
			     through[] = {0x41, 0xff, 0xe3}; /* jmp *%r11 */
	struct lf_vcpu_regs regs = {.r11 = 0x7000};

	cr_assert_eq(take(jump, 2, &regs), PC);
	cr_assert_eq(take(far, 5, &regs), PC + 0x105);
	cr_assert_eq(take(through, 3, &regs), 0x7000);
}

/* What a smashed pointer is: the CPU faults at the jump, not behind it. */
Test(branch, what_leads_to_no_address_is_left_to_the_vcpu)
{
	static const uint8_t through[] = {0x41, 0xff, 0xe3}; /* jmp *%r11 */
	struct lf_vcpu_regs regs = {.rip = PC, .r11 = 0x4141414141414141};
	struct insn insn = decode(through, sizeof(through));

	cr_expect_eq(branch_take(&insn, NULL, &regs), 0);
	regs.r11 = 0x0000800000000000;
	cr_expect_eq(branch_take(&insn, NULL, &regs), 0);
	cr_expect_eq(regs.rip, PC);
	regs.cr4 = 1U << 12; /* LA57 */
	cr_expect_eq(branch_take(&insn, NULL, &regs), 1);
	regs.r11 = 0xffffffff81000000;
	regs.cr4 = 0;
	cr_expect_eq(take(through, sizeof(through), &regs), regs.r11);
}

Test(branch, what_is_no_branch_is_left_to_the_vcpu)
{
	static const uint8_t nop[] = {0x90}, syscall[] = {0x0f, 0x05},
			     iret[] = {0x48, 0xcf};
	struct lf_vcpu_regs regs = {.rip = PC};
	struct insn insn = decode(nop, 1);

	cr_assert_eq(branch_take(&insn, NULL, &regs), 0);
	insn = decode(syscall, 2);
	cr_assert_eq(branch_take(&insn, NULL, &regs), 0);
	insn = decode(iret, 2);
	cr_assert_eq(branch_take(&insn, NULL, &regs), 0);
	cr_assert_eq(regs.rip, PC);
}
