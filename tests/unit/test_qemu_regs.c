/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QEMU's "info registers" read: in 64-bit mode, in real mode, and cut short.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "domain/qemu_regs.h"

static const char long_mode[] =
    "RAX=ffffffff81c0ffee RBX=0000000000000001 RCX=0000000000000002 "
    "RDX=0000000000000003\r\n"
    "RSI=0000000000000004 RDI=0000000000000005 RBP=0000000000000006 "
    "RSP=ffffc90000013e98\r\n"
    "R8 =0000000000000008 R9 =0000000000000009 R10=000000000000000a "
    "R11=000000000000000b\r\n"
    "R12=000000000000000c R13=000000000000000d R14=000000000000000e "
    "R15=000000000000000f\r\n"
    "RIP=ffffffff81a2b3c4 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 "
    "HLT=1\r\n"
    "ES =0000 0000000000000000 ffffffff 00c00000\r\n"
    "CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]\r\n"
    "SS =0018 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\r\n"
    "DS =0000 0000000000000000 ffffffff 00c00000\r\n"
    "FS =0000 00007f0011223344 ffffffff 00c00000\r\n"
    "GS =0000 ffff88800ec00000 ffffffff 00c00000\r\n"
    "LDT=0000 0000000000000000 000fffff 00000000\r\n"
    "TR =0040 fffffe0000003000 00004087 00008b00 DPL=0 TSS64-busy\r\n"
    "GDT=     fffffe0000001000 0000007f\r\n"
    "IDT=     fffffe0000000000 00000fff\r\n"
    "CR0=80050033 CR2=00007f1234567000 CR3=0000000002a10000 CR4=000006f0\r\n"
    "EFER=0000000000000d01\r\n";

static const char real_mode[] =
    "EAX=00000060 EBX=0000000a ECX=00000000 EDX=000003fd\r\n"
    "ESI=0000018c EDI=00000000 EBP=00000002 ESP=00007000\r\n"
    "EIP=0000008b EFL=00000293 [--S-A-C] CPL=0 II=0 A20=1 SMM=0 HLT=1\r\n"
    "ES =0000 00000000 0000ffff 00009300\r\n"
    "CS =f000 000f0000 0000ffff 00009b00\r\n"
    "SS =0000 00000000 0000ffff 00009300\r\n"
    "DS =0000 00000000 0000ffff 00009300\r\n"
    "FS =0000 00000000 0000ffff 00009300\r\n"
    "GS =0000 00000000 0000ffff 00009300\r\n"
    "LDT=0000 00000000 0000ffff 00008200\r\n"
    "TR =0000 00000000 0000ffff 00008b00\r\n"
    "GDT=     00000000 0000ffff\r\n"
    "IDT=     00000000 0000ffff\r\n"
    "CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000\r\n";

Test(qemu_regs, those_of_64_bit_mode)
{
	struct lf_vcpu_regs r;
	struct lf_error error;

	cr_assert_eq(
	    qemu_regs_parse(long_mode, &r, &error), 0, "%s", error.message);
	cr_expect_eq(r.rax, 0xffffffff81c0ffee);
	cr_expect_eq(r.rdi, 5);
	cr_expect_eq(r.rsp, 0xffffc90000013e98);
	cr_expect_eq(r.r8, 8);
	cr_expect_eq(r.r15, 15);
	cr_expect_eq(r.rip, 0xffffffff81a2b3c4);
	cr_expect_eq(r.rflags, 0x246);
	cr_expect_eq(r.cs.selector, 0x10);
	cr_expect_eq(r.cs.limit, 0xffffffff);
	cr_expect_eq(r.cs.access, 0xa09b);
	cr_expect_eq(r.fs.base, 0x7f0011223344);
	cr_expect_eq(r.gs.base, 0xffff88800ec00000);
	cr_expect_eq(r.tr.selector, 0x40);
	cr_expect_eq(r.gdt.base, 0xfffffe0000001000);
	cr_expect_eq(r.gdt.limit, 0x7f);
	cr_expect_eq(r.idt.limit, 0xfff);
	cr_expect_eq(r.cr0, 0x80050033);
	cr_expect_eq(r.cr2, 0x7f1234567000);
	cr_expect_eq(r.cr4, 0x6f0);
	cr_expect_eq(r.efer, 0xd01);
}

Test(qemu_regs, those_of_real_mode)
{
	struct lf_vcpu_regs r;
	struct lf_error error;

	cr_assert_eq(
	    qemu_regs_parse(real_mode, &r, &error), 0, "%s", error.message);
	cr_expect_eq(r.rax, 0x60);
	cr_expect_eq(r.rip, 0x8b);
	cr_expect_eq(r.rflags, 0x293);
	cr_expect_eq(r.cs.base, 0xf0000);
	cr_expect_eq(r.cs.access, 0x9b);
	cr_expect_eq(r.r8, 0);
	cr_expect_eq(r.efer, 0);
}

Test(qemu_regs, a_text_that_is_cut_short_names_what_is_missing)
{
	const char *end = strstr(long_mode, " CR4=");
	struct lf_vcpu_regs r;
	struct lf_error error;
	size_t len;

	for (len = 0; long_mode + len < end; len++) {
		char *text = strndup(long_mode, len);

		cr_assert_eq(qemu_regs_parse(text, &r, &error), -EBADMSG,
		    "%zu bytes", len);
		free(text);
	}
	cr_assert_eq(strncmp(error.message, "QEMU's registers: ", 18), 0);
}
