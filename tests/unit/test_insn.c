/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * insn/: what instructions are and do, their text.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>

#include "insn/insn.h"

#define BYTES(...) {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})

Test(insn, device_instructions_are_told_apart)
{
	static const struct {
		enum insn_mode mode;
		uint8_t bytes[8];
		size_t len;
		enum insn_kind kind;
		unsigned size;
		bool rep, dx;
		uint8_t port;
	} cases[] = {
	    {INSN_64, BYTES(0xe4, 0x60), INSN_IN, 1, .port = 0x60},
	    {INSN_64, BYTES(0x66, 0xed), INSN_IN, 2, .dx = true},
	    {INSN_64, BYTES(0xef), INSN_OUT, 4, .dx = true},
	    {INSN_16, BYTES(0xef), INSN_OUT, 2, .dx = true},
	    {INSN_64, BYTES(0xf3, 0x6c), INSN_INS, 1, .rep = true},
	    {INSN_64, BYTES(0x6f), INSN_OUTS, 4, .rep = false},
	    {INSN_64, BYTES(0x48, 0xa5), INSN_MOVS, 8, .rep = false},
	    {INSN_64, BYTES(0xf3, 0xaa), INSN_STOS, 1, .rep = true},
	    {INSN_64, BYTES(0x50), INSN_PUSH, 8, .rep = false},
	    /* The SSE2 instruction of the same name. */
	    {INSN_64, BYTES(0xf2, 0x0f, 0x11, 0x03), INSN_OTHER, 0,
		.rep = false},
	};
	unsigned i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct insn insn;
		struct lf_error error;

		cr_assert_eq(insn_decode(cases[i].mode, cases[i].bytes,
				 cases[i].len, 0, &insn, &error),
		    0, "case %u: %s", i, error.message);
		cr_assert_eq(insn.len, cases[i].len, "case %u", i);
		cr_assert_eq(insn.kind, cases[i].kind, "case %u", i);
		cr_assert_eq(insn.port_in_dx, cases[i].dx, "case %u", i);
		cr_assert_eq(insn.port, cases[i].port, "case %u", i);
		if (cases[i].kind != INSN_OTHER) {
			cr_assert_eq(insn.size, cases[i].size, "case %u", i);
			cr_assert_eq(insn.rep, cases[i].rep, "case %u", i);
		}
	}
}

Test(insn, a_memory_operand_has_its_parts)
{
	/* mov [r12+rcx*4+0x10], ax */
	static const uint8_t store[] = {0x66, 0x41, 0x89, 0x44, 0x8c, 0x10};
	/* movups [rbx], xmm1: capstone calls it a read */
	static const uint8_t sse[] = {0x0f, 0x11, 0x0b};
	/* cmp [rbx], eax */
	static const uint8_t compare[] = {0x39, 0x03};
	struct insn insn;

	cr_assert_eq(
	    insn_decode(INSN_64, store, sizeof(store), 0, &insn, NULL), 0);
	cr_assert(insn.has_mem && insn.mem.write);
	cr_assert_eq(insn.mem.base, INSN_R12);
	cr_assert_eq(insn.mem.index, INSN_RCX);
	cr_assert_eq(insn.mem.scale, 4);
	cr_assert_eq(insn.mem.displacement, 0x10);
	cr_assert_eq(insn.mem.size, 2);
	cr_assert_eq(insn.store, INSN_STORE_REG);
	cr_assert_eq(insn.store_reg, INSN_RAX);
	cr_assert_eq(insn_decode(INSN_64, sse, sizeof(sse), 0, &insn, NULL), 0);
	cr_assert(insn.mem.write);
	cr_assert_eq(insn.mem.size, 16);
	cr_assert_eq(
	    insn_decode(INSN_64, compare, sizeof(compare), 0, &insn, NULL), 0);
	cr_assert_not(insn.mem.write);
}

Test(insn, what_is_none_is_refused)
{
	static const uint8_t bad[] = {0x06}; /* push es: not in 64-bit mode */
	struct lf_error error;
	struct insn insn;
	char text[64];

	cr_assert_eq(
	    insn_decode(INSN_64, bad, 1, 0x1000, &insn, &error), -EBADMSG);
	cr_assert_str_eq(error.message, "no instruction at 0x1000");
	cr_assert_eq(insn_decode(INSN_64, bad, 0, 0, &insn, &error), -EBADMSG);
	cr_assert_eq(
	    insn_text(INSN_64, bad, 1, 0x1000, text, sizeof(text), &error),
	    -EBADMSG);
}

Test(insn, text_is_intels)
{
	static const uint8_t jump[] = {0xeb, 0xfe};
	char text[64];

	cr_assert_eq(
	    insn_text(INSN_64, jump, 2, 0x1000, text, sizeof(text), NULL), 2);
	cr_assert_str_eq(text, "jmp 0x1000");
}
