/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding the instruction of an access.
 */
#include "kvm/find.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cpu/arch.h"
#include "cpu/walk.h"
#include "kvm/internal.h"

#define PAGE_BYTES 4096ULL

/* What is looked at while searching. */
struct search {
	struct vcpu *vcpu;
	const struct cpu_sregs *sregs;
	const struct access *access;
	struct cpu_regs now; /* as KVM shows them */
	enum insn_mode mode;
	uint8_t before[INSN_MAX]; /* the last of them is at RIP - 1 */
	unsigned before_len;
	uint8_t at[INSN_MAX];
	unsigned at_len;
};

static enum insn_mode
mode_of(const struct cpu_sregs *sregs)
{
	if ((sregs->efer & EFER_LMA) && sregs->cs.l)
		return INSN_64;
	if ((sregs->cr0 & CR0_PE) == 0)
		return INSN_16;
	return sregs->cs.db ? INSN_32 : INSN_16;
}

uint64_t
find_address(const struct insn *insn, uint64_t reg)
{
	switch (insn->address_bytes) {
	case 2:
		return reg & 0xffff;
	case 4:
		return reg & 0xffffffff;
	default:
		return reg;
	}
}

/* Changes the low bytes of an address register as the instruction would:
 * 32-bit results are zero-extended, 16-bit ones leave the rest. */
static uint64_t
add_address(const struct insn *insn, uint64_t reg, int64_t delta)
{
	switch (insn->address_bytes) {
	case 2:
		return (reg & ~0xffffULL) | ((reg + delta) & 0xffff);
	case 4:
		return (reg + delta) & 0xffffffff;
	default:
		return reg + delta;
	}
}

static uint64_t
reg_value(const struct cpu_regs *regs, enum insn_reg reg, uint64_t next_rip)
{
	switch (reg) {
	case INSN_RAX:
		return regs->rax;
	case INSN_RCX:
		return regs->rcx;
	case INSN_RDX:
		return regs->rdx;
	case INSN_RBX:
		return regs->rbx;
	case INSN_RSP:
		return regs->rsp;
	case INSN_RBP:
		return regs->rbp;
	case INSN_RSI:
		return regs->rsi;
	case INSN_RDI:
		return regs->rdi;
	case INSN_R8:
		return regs->r8;
	case INSN_R9:
		return regs->r9;
	case INSN_R10:
		return regs->r10;
	case INSN_R11:
		return regs->r11;
	case INSN_R12:
		return regs->r12;
	case INSN_R13:
		return regs->r13;
	case INSN_R14:
		return regs->r14;
	case INSN_R15:
		return regs->r15;
	case INSN_RIP:
		return next_rip;
	case INSN_NO_REG:
		break;
	}
	return 0;
}

/* In 64-bit mode only FS and GS have a base. */
static uint64_t
segment_base(const struct search *search, enum insn_segment segment)
{
	const struct cpu_sregs *sregs = search->sregs;

	switch (segment) {
	case INSN_FS:
		return sregs->fs.base;
	case INSN_GS:
		return sregs->gs.base;
	default:
		break;
	}
	if (search->mode == INSN_64)
		return 0;
	switch (segment) {
	case INSN_ES:
		return sregs->es.base;
	case INSN_CS:
		return sregs->cs.base;
	case INSN_SS:
		return sregs->ss.base;
	default:
		return sregs->ds.base;
	}
}

/*
 * The access is a piece of an operand of `size` bytes at `linear`: KVM cuts it
 * at page boundaries, and each part in pieces of eight bytes.
 */
static bool
is_piece(const struct search *search, uint64_t linear, unsigned size)
{
	const struct access *access = search->access;
	uint64_t done = 0, piece;

	while (done < size) {
		uint64_t part =
		    PAGE_BYTES - ((linear + done) & (PAGE_BYTES - 1));
		struct walk walk;

		if (part > size - done)
			part = size - done;
		if (vcpu_walk(search->vcpu, search->sregs, linear + done, &walk,
			NULL) < 0)
			return false;
		for (piece = 0; piece < part; piece += 8)
			if (access->address == walk.gpa + piece &&
			    access->size ==
				(part - piece < 8 ? part - piece : 8))
				return true;
		done += part;
	}
	return false;
}

/* What a plain store writes is what the access wrote. */
static bool
stores(const struct search *search, const struct find *find)
{
	const struct insn *insn = &find->insn;
	uint64_t value = insn->store_value;

	if (insn->store == INSN_STORE_UNKNOWN || !search->access->write)
		return true;
	if (insn->store == INSN_STORE_REG)
		value = reg_value(&find->before, insn->store_reg, 0) >>
			(insn->store_high ? 8 : 0);
	return search->access->size > sizeof(value) ||
	       memcmp(&value, search->access->data, search->access->size) == 0;
}

/* `find->before` are registers before the instruction; RIP behind it is
 * `next_rip`. Does its explicit memory operand make the access? */
static bool
operand_matches(
    const struct search *search, const struct find *find, uint64_t next_rip)
{
	const struct insn_mem *mem = &find->insn.mem;
	uint64_t offset;

	if (!find->insn.has_mem)
		return false;
	if (search->access->write ? !mem->write : !mem->read)
		return false;
	offset = reg_value(&find->before, mem->base, next_rip) +
		 reg_value(&find->before, mem->index, next_rip) * mem->scale +
		 mem->displacement;
	offset = find_address(&find->insn, offset);
	return stores(search, find) &&
	       is_piece(search, segment_base(search, mem->segment) + offset,
		   mem->size);
}

static int64_t
string_delta(const struct search *search, const struct insn *insn)
{
	int64_t delta = (int64_t)insn->size * search->access->count;

	return search->now.rflags & RFLAGS_DF ? -delta : delta;
}

/* The port access is the one that the instruction makes. */
static bool
port_matches(const struct search *search, const struct find *find)
{
	const struct access *access = search->access;
	const struct insn *insn = &find->insn;
	bool write = insn->kind == INSN_OUT || insn->kind == INSN_OUTS;
	uint16_t port = find->before.rdx;

	if (insn->kind < INSN_IN || insn->kind > INSN_OUTS ||
	    write != access->write || insn->size != access->size)
		return false;
	if ((insn->kind == INSN_IN || insn->kind == INSN_OUT) &&
	    !insn->port_in_dx)
		port = insn->port;
	if (port != access->address)
		return false;
	/* What OUT writes is the accumulator. */
	return insn->kind != INSN_OUT ||
	       memcmp(&find->before.rax, access->data, access->size) == 0;
}

static bool
memory_matches(
    const struct search *search, const struct find *find, uint64_t next_rip)
{
	const struct insn *insn = &find->insn;
	uint64_t address = 0;

	switch (insn->kind) {
	case INSN_MOVS:
		/* Its source or its destination is no memory. */
		address = search->access->write
			      ? find_address(insn, find->before.rdi) +
				    segment_base(search, INSN_ES)
			      : find_address(insn, find->before.rsi) +
				    segment_base(search, insn->mem.segment);
		return is_piece(search, address, insn->size);
	case INSN_STOS:
		return search->access->write &&
		       is_piece(search,
			   find_address(insn, find->before.rdi) +
			       segment_base(search, INSN_ES),
			   insn->size);
	case INSN_PUSH:
		if (!search->access->write)
			return operand_matches(search, find, next_rip);
		return is_piece(search,
		    segment_base(search, INSN_SS) + find->before.rsp -
			insn->size,
		    insn->size);
	default:
		return operand_matches(search, find, next_rip);
	}
}

/* Takes the instruction's effects on registers back, as far as they are
 * there before its access is complete. */
static void
take_back(const struct search *search, struct find *find)
{
	const struct insn *insn = &find->insn;
	struct cpu_regs *regs = &find->before;
	int64_t delta = string_delta(search, insn);

	switch (insn->kind) {
	case INSN_OUTS:
		regs->rsi = add_address(insn, regs->rsi, -delta);
		break;
	case INSN_MOVS:
		regs->rsi = add_address(insn, regs->rsi, -delta);
		regs->rdi = add_address(insn, regs->rdi, -delta);
		break;
	case INSN_INS:
	case INSN_STOS:
		regs->rdi = add_address(insn, regs->rdi, -delta);
		break;
	case INSN_PUSH:
		regs->rsp += insn->size;
		break;
	case INSN_POP:
		regs->rsp -= insn->size;
		break;
	default:
		break;
	}
	if (insn->rep && insn->kind >= INSN_INS && insn->kind <= INSN_STOS)
		regs->rcx = add_address(insn, regs->rcx, search->access->count);
}

static bool
is_string(const struct insn *insn)
{
	return insn->kind >= INSN_INS && insn->kind <= INSN_STOS;
}

static enum kvm_access
access_kind(const struct access *access, const struct insn *insn)
{
	if (access->mmio)
		return access->write ? KVM_ACCESS_MMIO_WRITE
				     : KVM_ACCESS_MMIO_READ;
	switch (insn->kind) {
	case INSN_IN:
		return KVM_ACCESS_IN;
	case INSN_OUT:
		return KVM_ACCESS_OUT;
	case INSN_INS:
		return KVM_ACCESS_INS;
	default:
		return KVM_ACCESS_OUTS;
	}
}

static bool
matches(const struct search *search, struct find *find, uint64_t next_rip)
{
	return search->access->mmio ? memory_matches(search, find, next_rip)
				    : port_matches(search, find);
}

/* RIP is at the instruction: nothing has happened, or one round of a
 * repeated one that goes on. */
static bool
find_at(const struct search *search, struct find *find)
{
	const struct kvm_manners *manners = &search->vcpu->device->manners;

	if (insn_decode(search->mode, search->at, search->at_len,
		search->now.rip, &find->insn, NULL) < 0)
		return false;
	find->before = search->now;
	if (manners->past[access_kind(search->access, &find->insn)]) {
		if (!find->insn.rep || !is_string(&find->insn) ||
		    find_address(&find->insn, search->now.rcx) == 0)
			return false;
		take_back(search, find);
	}
	return matches(search, find, search->now.rip + find->insn.len);
}

static bool
find_before(const struct search *search, struct find *find)
{
	const struct kvm_manners *manners = &search->vcpu->device->manners;
	unsigned len;

	for (len = 1; len <= search->before_len; len++) {
		const uint8_t *bytes =
		    &search->before[search->before_len - len];
		uint64_t rip = search->now.rip - len;

		if (insn_decode(
			search->mode, bytes, len, rip, &find->insn, NULL) < 0 ||
		    find->insn.len != len ||
		    !manners->past[access_kind(search->access, &find->insn)] ||
		    find->insn.kind == INSN_CALL)
			continue;
		find->before = search->now;
		find->before.rip = rip;
		take_back(search, find);
		if (matches(search, find, search->now.rip))
			return true;
	}
	return false;
}

/*
 * A read-modify-write (or a copy between two devices) exits for its read
 * first; registers of then are those before the instruction.
 */
static bool
find_second_half(const struct search *search, struct find *find)
{
	const struct vcpu *vcpu = search->vcpu;
	uint8_t bytes[INSN_MAX];
	size_t len;

	if (!vcpu->before_valid || !search->access->mmio ||
	    !search->access->write)
		return false;
	len = vcpu_read_gva(search->vcpu, search->sregs,
	    search->sregs->cs.base + vcpu->before.rip, bytes, sizeof(bytes));
	if (insn_decode(search->mode, bytes, len, vcpu->before.rip, &find->insn,
		NULL) < 0)
		return false;
	find->before = vcpu->before;
	return matches(search, find, vcpu->before.rip + find->insn.len);
}

static int
not_found(const struct search *search, struct lf_error *error)
{
	char text[2 * (2 * INSN_MAX) + 2], *at = text;
	unsigned i;

	for (i = 0; i < search->before_len; i++)
		at += sprintf(at, "%02x", search->before[i]);
	*at++ = '|';
	for (i = 0; i < search->at_len; i++)
		at += sprintf(at, "%02x", search->at[i]);
	*at = '\0';
	return error_set(error, ENOTSUP,
	    "vCPU %u: the %s of %u bytes at %s 0x%" PRIx64
	    " cannot be taken back: no instruction around 0x%" PRIx64
	    " makes it (bytes before|at: %s)",
	    search->vcpu->index, search->access->write ? "write" : "read",
	    search->access->size, search->access->mmio ? "address" : "port",
	    search->access->address, search->now.rip, text);
}

int
find_access(struct vcpu *vcpu, const struct cpu_sregs *sregs, struct find *ret,
    struct lf_error *error)
{
	struct search search = {
	    .vcpu = vcpu,
	    .sregs = sregs,
	    .access = &vcpu->access,
	    .mode = mode_of(sregs),
	};
	uint64_t linear;
	int rc = vcpu_peek_regs(vcpu, &search.now, error);

	if (rc < 0)
		return rc;
	/*
	 * Software KVM takes the access as a fault, which shows RF set. An
	 * instruction begins with RF clear, but for one after IRET.
	 */
	search.now.rflags &= ~RFLAGS_RF;
	*ret = (struct find){.before = search.now};
	/* RDMSR and WRMSR exit before anything happened. */
	if (vcpu->access.msr)
		return 0;
	if (search.now.rflags & RFLAGS_VM)
		search.mode = INSN_16;
	linear = search.now.rip;
	if (search.mode != INSN_64)
		linear += sregs->cs.base;
	search.at_len = vcpu_read_gva(vcpu, sregs, linear, search.at, INSN_MAX);
	/* At the beginning of a mapping fewer bytes come before. */
	search.before_len = INSN_MAX;
	while (search.before_len > 0 &&
	       vcpu_read_gva(vcpu, sregs, linear - search.before_len,
		   search.before, search.before_len) != search.before_len)
		search.before_len--;
	if (find_second_half(&search, ret) || find_at(&search, ret) ||
	    find_before(&search, ret))
		return 0;
	return not_found(&search, error);
}
