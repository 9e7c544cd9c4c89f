/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Exits: from the run page to struct lf_exit, and to words.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kvm/held.h"
#include "kvm/internal.h"

static void
decode_io(struct vcpu *vcpu, struct lf_exit *exit)
{
	struct kvm_run *run = vcpu->run;
	struct access *access = &vcpu->access;

	*access = (struct access){
	    .pending = true,
	    .write = run->io.direction == KVM_EXIT_IO_OUT,
	    .size = run->io.size,
	    .count = run->io.count,
	    .address = run->io.port,
	    .data = (uint8_t *)run + run->io.data_offset,
	};
	exit->reason = LF_EXIT_IO;
	exit->io.port = run->io.port;
	exit->io.size = access->size;
	exit->io.write = access->write;
	exit->io.count = access->count;
	exit->io.data = access->write ? access->data : NULL;
}

static void
decode_mmio(struct vcpu *vcpu, struct lf_exit *exit)
{
	struct kvm_run *run = vcpu->run;
	struct access *access = &vcpu->access;

	*access = (struct access){
	    .pending = true,
	    .mmio = true,
	    .write = run->mmio.is_write,
	    .size = run->mmio.len,
	    .count = 1,
	    .address = run->mmio.phys_addr,
	    .data = run->mmio.data,
	};
	exit->reason = LF_EXIT_MMIO;
	exit->mmio.gpa = access->address;
	exit->mmio.size = access->size;
	exit->mmio.write = access->write;
	/* A write may be the same instruction's second half. */
	if (!access->write) {
		memcpy(&vcpu->before, &run->s.regs.regs, sizeof(vcpu->before));
		vcpu->before_valid = vcpu->regs_valid;
	}
	memset(exit->mmio.data, 0, sizeof(exit->mmio.data));
	if (access->write)
		memcpy(exit->mmio.data, run->mmio.data, access->size);
}

static void
decode_msr(struct vcpu *vcpu, struct lf_exit *exit)
{
	struct kvm_run *run = vcpu->run;
	struct access *access = &vcpu->access;

	*access = (struct access){
	    .pending = true,
	    .msr = true,
	    .write = run->exit_reason == KVM_EXIT_X86_WRMSR,
	    .size = 8,
	    .count = 1,
	    .address = run->msr.index,
	};
	exit->reason = LF_EXIT_MSR;
	exit->msr.index = run->msr.index;
	exit->msr.write = access->write;
	exit->msr.data = access->write ? run->msr.data : 0;
}

/* KVM_INTERNAL_ERROR_EMULATION comes with the instruction where KVM was told
 * that we want it (KVM_CAP_EXIT_ON_EMULATION_FAILURE). */
static void
decode_error(struct vcpu *vcpu, struct lf_exit *exit)
{
	struct kvm_run *run = vcpu->run;
	uint32_t len;

	exit->reason = LF_EXIT_ERROR;
	exit->internal.kvm_exit = run->exit_reason;
	if (vcpu->regs_valid)
		exit->internal.rip = run->s.regs.regs.rip;
	if (run->exit_reason != KVM_EXIT_INTERNAL_ERROR)
		return;
	exit->internal.suberror = run->internal.suberror;
	if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION ||
	    run->emulation_failure.ndata < 3 ||
	    (run->emulation_failure.flags &
		KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) == 0)
		return;
	len = run->emulation_failure.insn_size;
	if (len > sizeof(exit->internal.insn))
		len = sizeof(exit->internal.insn);
	exit->internal.insn_len = len;
	memcpy(exit->internal.insn, run->emulation_failure.insn_bytes, len);
}

bool
exit_decode(struct vcpu *vcpu, struct lf_exit *exit)
{
	struct kvm_run *run = vcpu->run;

	memset(exit, 0, sizeof(*exit));
	exit->vcpu = vcpu->index;
	if (run->exit_reason != KVM_EXIT_MMIO)
		vcpu->before_valid = false;
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		decode_io(vcpu, exit);
		return true;
	case KVM_EXIT_MMIO:
		decode_mmio(vcpu, exit);
		return true;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		if (run->msr.reason == KVM_MSR_EXIT_REASON_FILTER) {
			held_answer(vcpu);
			return false;
		}
		decode_msr(vcpu, exit);
		return true;
	case KVM_EXIT_HLT:
		vcpu->parked = true;
		exit->reason = LF_EXIT_IDLE;
		return true;
	case KVM_EXIT_SHUTDOWN:
	case KVM_EXIT_SYSTEM_EVENT:
		exit->reason = LF_EXIT_SHUTDOWN;
		return true;
	case KVM_EXIT_DEBUG:
		exit->reason = LF_EXIT_DEBUG;
		exit->debug.exception = run->debug.arch.exception;
		exit->debug.rip = run->debug.arch.pc;
		exit->debug.dr6 = run->debug.arch.dr6;
		exit->debug.dr7 = run->debug.arch.dr7;
		return true;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:
	case KVM_EXIT_IOAPIC_EOI:
	case KVM_EXIT_HYPERV:
		/* For a device model that is not there. */
		return false;
	default:
		decode_error(vcpu, exit);
		return true;
	}
}

const char *
lf_exit_name(const struct lf_exit *exit)
{
	switch (exit->reason) {
	case LF_EXIT_NONE:
		return "none";
	case LF_EXIT_IO:
		return exit->io.write ? "port write" : "port read";
	case LF_EXIT_MMIO:
		return exit->mmio.write ? "MMIO write" : "MMIO read";
	case LF_EXIT_MSR:
		return exit->msr.write ? "MSR write" : "MSR read";
	case LF_EXIT_IDLE:
		return "idle";
	case LF_EXIT_SHUTDOWN:
		return "shutdown";
	case LF_EXIT_DEBUG:
		return exit->debug.exception == 3 ? "breakpoint" : "debug";
	case LF_EXIT_INTERRUPTED:
		return "interrupted";
	case LF_EXIT_ERROR:
		return "internal error";
	case LF_EXIT_PROBE:
		return "probe";
	}
	return "unknown";
}

/* A line that grows as long as there is room. */
struct line {
	char *buf;
	size_t size, used;
};

static void __attribute__((format(printf, 2, 3)))
say(struct line *line, const char *format, ...)
{
	va_list args;
	int n;

	if (line->used >= line->size)
		return;
	va_start(args, format);
	n = vsnprintf(
	    line->buf + line->used, line->size - line->used, format, args);
	va_end(args);
	line->used += n > 0 ? (size_t)n : 0;
}

/* Bytes that anybody can make something of. */
#define SHOWN_MAX 16

static void
say_bytes(struct line *line, const void *bytes, size_t len)
{
	const uint8_t *b = bytes;
	size_t i;

	for (i = 0; b != NULL && i < len && i < SHOWN_MAX; i++)
		say(line, "%s%02x", i == 0 ? ": " : " ", b[i]);
	if (i > 0 && i < len)
		say(line, " ...");
}

static void
say_io(struct line *line, const struct lf_exit *exit)
{
	size_t len = (size_t)exit->io.size * exit->io.count;

	say(line, ": 0x%x, %zu byte%s", exit->io.port, len,
	    len == 1 ? "" : "s");
	if (exit->io.write)
		say_bytes(line, exit->io.data, len);
}

static void
say_mmio(struct line *line, const struct lf_exit *exit)
{
	say(line, ": 0x%" PRIx64 ", %u byte%s", exit->mmio.gpa, exit->mmio.size,
	    exit->mmio.size == 1 ? "" : "s");
	if (exit->mmio.write)
		say_bytes(line, exit->mmio.data, exit->mmio.size);
}

static void
say_internal(struct line *line, const struct lf_exit *exit)
{
	if (exit->internal.kvm_exit == KVM_EXIT_FAIL_ENTRY)
		say(line, ": the vCPU's state cannot be entered");
	else if (exit->internal.kvm_exit != KVM_EXIT_INTERNAL_ERROR)
		say(line, ": KVM's exit %u", exit->internal.kvm_exit);
	else if (exit->internal.suberror == KVM_INTERNAL_ERROR_EMULATION)
		say(line, ": KVM cannot emulate an instruction");
	else
		say(line, ": KVM's suberror %u", exit->internal.suberror);
	say(line, " at 0x%" PRIx64, exit->internal.rip);
	say_bytes(line, exit->internal.insn, exit->internal.insn_len);
}

void
lf_exit_describe(const struct lf_exit *exit, char *buf, unsigned size)
{
	struct line line = {.buf = buf, .size = size};

	say(&line, "%s", lf_exit_name(exit));
	switch (exit->reason) {
	case LF_EXIT_IO:
		say_io(&line, exit);
		break;
	case LF_EXIT_MMIO:
		say_mmio(&line, exit);
		break;
	case LF_EXIT_MSR:
		say(&line, ": 0x%x", exit->msr.index);
		if (exit->msr.write)
			say(&line, ": 0x%" PRIx64, exit->msr.data);
		break;
	case LF_EXIT_DEBUG:
		say(&line, ": at 0x%" PRIx64, exit->debug.rip);
		break;
	case LF_EXIT_ERROR:
		say_internal(&line, exit);
		break;
	default:
		break;
	}
}
