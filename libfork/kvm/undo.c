/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Saving and restoring around a completed access; find.c tells which
 * instruction made it and what registers were before.
 */
#include "kvm/undo.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cpu/arch.h"
#include "cpu/walk.h"
#include "kvm/find.h"
#include "kvm/internal.h"

/* What an instruction can push at once: a far call's, or an exception's,
 * frame with five words and an error code. */
#define PUSH_MAX 64

static int
save_piece(struct undo *undo, struct vcpu *vcpu, uint64_t gpa, uint32_t len,
    struct lf_error *error)
{
	struct undo_piece *piece = &undo->piece[undo->piece_count];
	uint64_t left;
	const void *memory = vm_memory(vcpu->vm, gpa, &left, NULL);

	if (memory == NULL)
		return 0;
	if (undo->piece_count == UNDO_PIECES_MAX)
		return error_set(error, ENOTSUP,
		    "vCPU %u: an access touches too many pages to be taken "
		    "back",
		    vcpu->index);
	piece->gpa = gpa;
	piece->len = len < left ? len : left;
	piece->bytes = sys.malloc(piece->len);
	if (piece->bytes == NULL)
		return error_nomem(error);
	memcpy(piece->bytes, memory, piece->len);
	undo->piece_count++;
	return 0;
}

/*
 * Saves linear memory that may be written, and the page-table entries used,
 * in which the write sets accessed and dirty bits. What is not mapped cannot
 * be written either.
 */
static int
save_linear(struct undo *undo, struct vcpu *vcpu, uint64_t gva, uint64_t len,
    struct lf_error *error)
{
	uint64_t done = 0;
	unsigned level;
	int rc = 0;

	while (rc == 0 && done < len) {
		uint64_t part = 4096 - ((gva + done) & 4095);
		struct walk walk;

		if (part > len - done)
			part = len - done;
		if (vcpu_walk(vcpu, &undo->sregs, gva + done, &walk, NULL) == 0)
			rc = save_piece(undo, vcpu, walk.gpa, part, error);
		for (level = 0; rc == 0 && level < walk.levels; level++)
			rc = save_piece(undo, vcpu, walk.entry_gpa[level],
			    walk.entry_bytes, error);
		done += part;
	}
	return rc;
}

/* Where completing a read can write: a string's destination, the stack. */
static int
save_memory(struct undo *undo, struct vcpu *vcpu, const struct insn *insn,
    struct lf_error *error)
{
	const struct access *access = &vcpu->access;
	const struct cpu_regs *regs = &undo->regs;
	uint64_t len = (uint64_t)access->size * access->count;
	uint64_t to;

	switch (insn->kind) {
	case INSN_INS:
	case INSN_MOVS:
		to = find_address(insn, regs->rdi) + undo->sregs.es.base;
		if (regs->rflags & RFLAGS_DF)
			to -= len - access->size;
		return save_linear(undo, vcpu, to, len, error);
	case INSN_PUSH:
	case INSN_CALL:
		return save_linear(undo, vcpu,
		    undo->sregs.ss.base + regs->rsp - PUSH_MAX, PUSH_MAX,
		    error);
	default:
		return 0;
	}
}

static int
save_xsave(struct undo *undo, struct vcpu *vcpu, struct lf_error *error)
{
	unsigned long request = vcpu->device->xsave_len > CPU_XSAVE_MIN
				    ? KVM_GET_XSAVE2
				    : KVM_GET_XSAVE;

	undo->xsave = sys.malloc(vcpu->device->xsave_len);
	if (undo->xsave == NULL)
		return error_nomem(error);
	return vcpu_try(
	    vcpu, request, undo->xsave, "get FPU and vector registers", error);
}

int
undo_init(struct undo *undo, struct vcpu *vcpu, struct lf_error *error)
{
	struct find find;
	int rc;

	undo->xsave = NULL;
	undo->piece_count = 0;
	rc = vcpu_peek_sregs(vcpu, &undo->sregs, error);
	if (rc == 0)
		rc = vcpu_try(vcpu, KVM_GET_VCPU_EVENTS, &undo->events,
		    "get pending events", error);
	if (rc == 0)
		rc = vcpu_try(vcpu, KVM_GET_DEBUGREGS, &undo->debugregs,
		    "get debug registers", error);
	if (rc == 0)
		rc = find_access(vcpu, &undo->sregs, &find, error);
	if (rc < 0)
		return rc;
	undo->regs = find.before;
	if (vcpu->access.write || vcpu->access.msr)
		return 0;
	rc = save_memory(undo, vcpu, &find.insn, error);
	if (rc == 0 && vcpu->access.mmio)
		rc = save_xsave(undo, vcpu, error);
	return rc;
}

int
undo_apply(const struct undo *undo, struct vcpu *vcpu, struct lf_error *error)
{
	struct cpu_events events = undo->events;
	struct cpu_sregs now;
	unsigned i;
	int rc;

	for (i = 0; i < undo->piece_count; i++) {
		const struct undo_piece *piece = &undo->piece[i];

		rc = vm_write(
		    vcpu->vm, piece->gpa, piece->bytes, piece->len, error);
		if (rc < 0)
			return rc;
	}
	rc = vcpu_put_regs(vcpu, &undo->regs, error);
	vcpu->regs_valid = false;
	if (rc == 0)
		rc = vcpu_peek_sregs(vcpu, &now, error);
	if (rc == 0 && memcmp(&now, &undo->sregs, sizeof(now)) != 0)
		rc = vcpu_put_sregs(vcpu, &undo->sregs, error);
	if (rc == 0 && undo->xsave != NULL)
		rc = vcpu_try(vcpu, KVM_SET_XSAVE, undo->xsave,
		    "set FPU and vector registers", error);
	if (rc == 0)
		rc = vcpu_try(vcpu, KVM_SET_DEBUGREGS, (void *)&undo->debugregs,
		    "set debug registers", error);
	events.flags = vcpu_events_flags(vcpu, &events);
	if (rc == 0)
		rc = vcpu_try(vcpu, KVM_SET_VCPU_EVENTS, &events,
		    "set pending events", error);
	if (rc == 0 && vcpu->debug.single_step)
		rc = guest_debug_apply(vcpu, true, error);
	return rc;
}

void
undo_done(struct undo *undo)
{
	unsigned i;

	for (i = 0; i < undo->piece_count; i++)
		free(undo->piece[i].bytes);
	free(undo->xsave);
}
