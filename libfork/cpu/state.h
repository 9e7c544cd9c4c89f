/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of one x86 vCPU as one ordered table of groups (groups.def), the
 * same for KVM (kvm/vcpu_state.h gets and sets it), for QEMU's stream and for
 * a snapshot. Members have the layout of the kernel's ABI, which never
 * changes, so that kvm/ can hand them to the kernel in place; kvm/ checks
 * each of them at compile time. This file itself knows no KVM.
 */
#ifndef CPU_STATE_H
#define CPU_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

enum cpu_group_index {
#define CPU_GROUP(name, member, title) CPU_INDEX_##name,
#include "cpu/groups.def"
#undef CPU_GROUP
	CPU_GROUP_COUNT
};

/* A set of groups is a mask of CPU_GROUP_x. */
enum cpu_group {
#define CPU_GROUP(name, member, title) CPU_GROUP_##name = 1 << CPU_INDEX_##name,
#include "cpu/groups.def"
#undef CPU_GROUP
	CPU_GROUP_ALL = (1 << CPU_GROUP_COUNT) - 1
};

/* mp_state: what the vCPU does when it is run. */
enum cpu_mp_state {
	CPU_MP_RUNNABLE = 0,
	CPU_MP_UNINITIALIZED = 1, /* an AP before INIT */
	CPU_MP_INIT_RECEIVED = 2,
	CPU_MP_HALTED = 3,
	CPU_MP_SIPI_RECEIVED = 4,
};

struct cpu_regs {
	uint64_t rax, rbx, rcx, rdx;
	uint64_t rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11;
	uint64_t r12, r13, r14, r15;
	uint64_t rip, rflags;
};

struct cpu_segment {
	uint64_t base;
	uint32_t limit; /* in bytes, granularity applied */
	uint16_t selector;
	uint8_t type;
	uint8_t present, dpl, db, s, l, g, avl;
	uint8_t unusable;
	uint8_t padding;
};

struct cpu_table {
	uint64_t base;
	uint16_t limit;
	uint16_t padding[3];
};

#define CPU_SREGS_PDPTRS_VALID 1

struct cpu_sregs {
	struct cpu_segment cs, ds, es, fs, gs, ss;
	struct cpu_segment tr, ldt;
	struct cpu_table gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, cr8;
	uint64_t efer;
	uint64_t apic_base;
	uint64_t flags; /* CPU_SREGS_PDPTRS_VALID: pdptrs count */
	uint64_t pdptrs[4];
};

/*
 * Nested virtualization of a vCPU that runs no nested guest now: 128 bytes of
 * header. A vCPU inside a nested guest is refused by kvm/.
 */
#define CPU_NESTED_GUEST_MODE 1

struct cpu_nested {
	uint16_t flags; /* CPU_NESTED_GUEST_MODE is never set */
	uint16_t format;
	uint32_t size; /* 0: this host has no nested virtualization */
	uint8_t header[120];
};

/* Uncompacted XSAVE image: legacy area, header, standard offsets. */
struct cpu_xsave {
	uint8_t *bytes;
	uint32_t len; /* at least CPU_XSAVE_MIN */
};
#define CPU_XSAVE_MIN 4096

struct cpu_xcrs {
	uint64_t xcr0;
};

struct cpu_debugregs {
	uint64_t db[4];
	uint64_t dr6;
	uint64_t dr7;
	uint64_t flags;
	uint64_t reserved[9];
};

/* The LAPIC's register page, register N at byte N. */
struct cpu_lapic {
	uint8_t present; /* 0: no LAPIC inside KVM */
	uint8_t padding[15];
	uint8_t regs[1024];
};

/* Registers by their place in the page (SDM volume 3, 11.4). */
#define CPU_LAPIC_VERSION       0x030
#define CPU_LAPIC_PPR           0x0a0
#define CPU_LAPIC_IRR           0x200 /* eight registers: 256 vectors */
#define CPU_LAPIC_LVT_TIMER     0x320
#define CPU_LAPIC_TIMER_INITIAL 0x380
#define CPU_LAPIC_TIMER_CURRENT 0x390
#define CPU_LAPIC_LVT_VECTOR    0xffU
#define CPU_LAPIC_LVT_MASKED    (1U << 16)

struct cpu_msr {
	uint32_t index;
	uint32_t reserved;
	uint64_t value;
};

#define CPU_MSRS_MAX 512

/* TSC_ADJUST is first when there, TSC_DEADLINE last; no MSR twice. */
struct cpu_msrs {
	uint32_t count;
	uint32_t padding;
	struct cpu_msr entry[CPU_MSRS_MAX];
};

/*
 * The guest's TSC when the state was taken, and the offset that the host's
 * TSC needed for it. Loading uses `tsc`; comparing uses `offset`.
 */
struct cpu_tsc {
	uint64_t tsc;
	uint64_t offset;
	uint32_t khz;       /* of the guest; 0: the host's */
	uint8_t has_offset; /* this KVM lets the offset be read and set */
	uint8_t padding[3];
};

struct cpu_events {
	struct {
		uint8_t injected;
		uint8_t nr;
		uint8_t has_error_code;
		uint8_t pending;
		uint32_t error_code;
	} exception;
	struct {
		uint8_t injected;
		uint8_t nr;
		uint8_t soft;
		uint8_t shadow; /* CPU_SHADOW_x */
	} interrupt;
	struct {
		uint8_t injected;
		uint8_t pending;
		uint8_t masked;
		uint8_t pad;
	} nmi;
	uint32_t sipi_vector;
	uint32_t flags;
	struct {
		uint8_t smm;
		uint8_t pending;
		uint8_t smm_inside_nmi;
		uint8_t latched_init;
	} smi;
	struct {
		uint8_t pending;
	} triple_fault;
	uint8_t reserved[26];
	uint8_t exception_has_payload;
	uint64_t exception_payload;
};
#define CPU_SHADOW_MOV_SS 1
#define CPU_SHADOW_STI    2

struct cpu_state {
	uint32_t groups;   /* which members hold something: CPU_GROUP_x */
	uint32_t mp_state; /* enum cpu_mp_state */
	struct cpu_regs regs;
	struct cpu_sregs sregs;
	struct cpu_nested nested;
	struct cpu_xsave xsave;
	struct cpu_xcrs xcrs;
	struct cpu_debugregs debugregs;
	struct cpu_lapic lapic;
	struct cpu_msrs msrs;
	struct cpu_tsc tsc;
	struct cpu_events events;
};

/*
 * An empty state with room for an XSAVE image of `xsave_len` bytes (0: of
 * CPU_XSAVE_MIN). NULL: out of memory.
 */
struct cpu_state *cpu_state_new(uint32_t xsave_len);
void cpu_state_free(struct cpu_state *state);

/*
 * Whether a host that saves `len` bytes has room for this image: what lies
 * beyond must be zeros, which is a register's initial state. -ENOSPC otherwise.
 */
int cpu_xsave_check_fits(
    const struct cpu_xsave *xsave, uint32_t len, struct lf_error *error);

/*
 * 0 when `groups` are equal but for what runs by itself (TSC value,
 * APERF/MPERF, the LAPIC timer's current count, a TSC deadline that has
 * passed); -EBADMSG otherwise, with the first difference in `error`: group,
 * field, value wanted, value found.
 * A group that one of the two does not hold is a difference.
 */
int cpu_state_compare(const struct cpu_state *wanted,
    const struct cpu_state *found, uint32_t groups, struct lf_error *error);

/*
 * Calls `line` once per field of `groups`, in order, with "group.field" and
 * its value in hexadecimal.
 */
typedef void cpu_state_line_fn(
    void *opaque, const char *group, const char *field, const char *value);
void cpu_state_print(const struct cpu_state *state, uint32_t groups,
    cpu_state_line_fn *line, void *opaque);

/* "registers" for CPU_INDEX_REGS; "regs" is its name in options. */
const char *cpu_group_title(enum cpu_group_index index);
const char *cpu_group_name(enum cpu_group_index index);

/* The value of an MSR; false: the state does not hold it. */
bool cpu_state_msr(
    const struct cpu_state *state, uint32_t index, uint64_t *ret_value);
/* Sets or adds an MSR in its right place; -ENOSPC when the table is full. */
int cpu_state_set_msr(struct cpu_state *state, uint32_t index, uint64_t value,
    struct lf_error *error);

/*
 * Whether a guest that had a TSC of `wanted_khz` can go on with one of
 * `host_khz` (0: not known, nothing to compare). -ENOTSUP when it would notice.
 */
int cpu_tsc_check(
    uint32_t wanted_khz, uint32_t host_khz, struct lf_error *error);

/* A LAPIC register, `reg` as in the SDM (0x20 the id, 0x320 LVT timer). */
uint32_t cpu_lapic_read(const struct cpu_lapic *lapic, unsigned reg);
void cpu_lapic_write(struct cpu_lapic *lapic, unsigned reg, uint32_t value);

/* Whether a vector waits to be delivered (IRR). */
bool cpu_lapic_pending(const struct cpu_lapic *lapic, unsigned vector);
void cpu_lapic_set_pending(
    struct cpu_lapic *lapic, unsigned vector, bool pending);

/*
 * What a LAPIC needs so that its timer is not heard of: the LVT timer masked,
 * its initial count 0, its vector not waiting.
 */
void cpu_lapic_silence_timer(struct cpu_lapic *lapic);

#endif
