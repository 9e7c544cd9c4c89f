/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Exits in words: of each kind all that is known of it, on one line that is cut
 * where the room ends.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>

#include <libfork/exit.h>

static const uint8_t twenty[20] = {1, 2, 3};

static const struct {
	struct lf_exit exit;
	const char *name, *text;
} cases[] = {
    {{.reason = LF_EXIT_NONE}, "none", "none"},
    {{.reason = LF_EXIT_IO, .io = {.port = 0x60, .size = 1, .count = 1}},
	"port read", "port read: 0x60, 1 byte"},
    {{.reason = LF_EXIT_IO,
	 .io = {.port = 0x3f8,
	     .size = 2,
	     .count = 1,
	     .write = true,
	     .data = "AB"}},
	"port write", "port write: 0x3f8, 2 bytes: 41 42"},
    {{.reason = LF_EXIT_IO,
	 .io = {.port = 0x1f0,
	     .size = 4,
	     .count = 5,
	     .write = true,
	     .data = twenty}},
	"port write",
	"port write: 0x1f0, 20 bytes: 01 02 03 00 00 00 00 00 00 00 00 00 00 "
	"00 00 00 ..."},
    {{.reason = LF_EXIT_MMIO, .mmio = {.gpa = 0xfee00000, .size = 8}},
	"MMIO read", "MMIO read: 0xfee00000, 8 bytes"},
    {{.reason = LF_EXIT_MMIO,
	 .mmio = {.gpa = 1UL << 40, .size = 1, .write = true, .data = {0xff}}},
	"MMIO write", "MMIO write: 0x10000000000, 1 byte: ff"},
    {{.reason = LF_EXIT_MSR, .msr = {.index = 0xc0000080}}, "MSR read",
	"MSR read: 0xc0000080"},
    {{.reason = LF_EXIT_MSR, .msr = {.index = 0x10, .write = true, .data = 7}},
	"MSR write", "MSR write: 0x10: 0x7"},
    {{.reason = LF_EXIT_IDLE}, "idle", "idle"},
    {{.reason = LF_EXIT_SHUTDOWN}, "shutdown", "shutdown"},
    {{.reason = LF_EXIT_DEBUG, .debug = {.exception = 3, .rip = 0x1234}},
	"breakpoint", "breakpoint: at 0x1234"},
    {{.reason = LF_EXIT_DEBUG, .debug = {.exception = 1, .rip = 0x1234}},
	"debug", "debug: at 0x1234"},
    {{.reason = LF_EXIT_INTERRUPTED}, "interrupted", "interrupted"},
    {{.reason = LF_EXIT_PROBE}, "probe", "probe"},
    {{.reason = LF_EXIT_ERROR,
	 .internal = {.kvm_exit = KVM_EXIT_INTERNAL_ERROR,
	     .suberror = KVM_INTERNAL_ERROR_EMULATION,
	     .rip = 0x400000,
	     .insn_len = 3,
	     .insn = {0x0f, 0x0b, 0x90}}},
	"internal error",
	"internal error: KVM cannot emulate an instruction at 0x400000: 0f 0b "
	"90"},
    {{.reason = LF_EXIT_ERROR,
	 .internal = {.kvm_exit = KVM_EXIT_INTERNAL_ERROR, .suberror = 2}},
	"internal error", "internal error: KVM's suberror 2 at 0x0"},
    {{.reason = LF_EXIT_ERROR, .internal = {.kvm_exit = KVM_EXIT_FAIL_ENTRY}},
	"internal error",
	"internal error: the vCPU's state cannot be entered at 0x0"},
    {{.reason = LF_EXIT_ERROR, .internal = {.kvm_exit = 99, .rip = 0x10}},
	"internal error", "internal error: KVM's exit 99 at 0x10"},
    {{.reason = 77}, "unknown", "unknown"},
};

Test(exit, each_kind_says_all_that_is_known_of_it)
{
	char buf[128];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_expect_str_eq(lf_exit_name(&cases[i].exit), cases[i].name);
		lf_exit_describe(&cases[i].exit, buf, sizeof(buf));
		cr_expect_str_eq(buf, cases[i].text, "%s", buf);
	}
}

Test(exit, a_line_is_cut_where_the_room_ends)
{
	char buf[128], wanted[128];
	unsigned size;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size = 1; size <= sizeof(buf); size++) {
			memset(buf, '#', sizeof(buf));
			snprintf(wanted, size, "%s", cases[i].text);
			lf_exit_describe(&cases[i].exit, buf, size);
			cr_assert_str_eq(buf, wanted, "%u bytes", size);
			cr_assert(size == sizeof(buf) || buf[size] == '#',
			    "more than %u bytes", size);
		}
}
