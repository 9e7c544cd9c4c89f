/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sinks' arguments: struct pt_regs (arch/x86/include/asm/ptrace.h) and signals
 * (include/uapi/asm-generic/siginfo.h).
 */
#include "vmi/crash_context.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include <libfork/vcpu.h>

#include "vmi/guest_memory.h"

/* THREAD_SIZE, to which kernel stacks are aligned (VMAP_STACK). */
#define STACK_BYTES (16UL << 10)

/* struct pt_regs: 21 words, in the order in which entry code pushes them. */
#define PT_REGS_WORDS 21

static const char *
signal_name(unsigned number)
{
	switch (number) {
	case SIGILL:
		return "SIGILL";
	case SIGTRAP:
		return "SIGTRAP";
	case SIGABRT:
		return "SIGABRT";
	case SIGBUS:
		return "SIGBUS";
	case SIGFPE:
		return "SIGFPE";
	case SIGSEGV:
		return "SIGSEGV";
	case SIGSYS:
		return "SIGSYS";
	case SIGXCPU:
		return "SIGXCPU";
	default:
		return "signal";
	}
}

void
crash_context_describe(struct lf_domain *domain, unsigned vcpu,
    unsigned context, const char *name, char *buf, size_t size)
{
	struct lf_vcpu_regs regs;
	struct vmi_space space;
	char text[96];
	uint32_t number;

	snprintf(buf, size, "%s", name);
	if (context == LF_SINK_PLAIN ||
	    lf_vcpu_read_regs(domain, vcpu, &regs, NULL) < 0 ||
	    vmi_space_init(&space, domain, vcpu, NULL) < 0)
		return;
	number = (uint32_t)regs.rdi;
	switch (context) {
	case LF_SINK_TEXT:
		if (vmi_space_read_text(
			&space, regs.rdi, text, sizeof(text), NULL) == 0)
			snprintf(buf, size, "%s: %s", name, text);
		break;
	case LF_SINK_SIGINFO:
		if (vmi_space_read(
			&space, regs.rdi, &number, sizeof(number), NULL) < 0)
			break;
		__attribute__((fallthrough));
	case LF_SINK_SIGNAL:
		snprintf(buf, size, "%s: %s (%u)", name, signal_name(number),
		    number);
		break;
	default:
		break;
	}
}

bool
crash_context_regs(
    const struct vmi_space *space, unsigned context, struct lf_vcpu_regs *regs)
{
	uint64_t words[PT_REGS_WORDS], at;

	switch (context) {
	case LF_SINK_REGS_1:
		at = regs->rdi;
		break;
	case LF_SINK_REGS_2:
		at = regs->rsi;
		break;
	case LF_SINK_SIGNAL:
	case LF_SINK_SIGINFO:
		at = (regs->rsp & -STACK_BYTES) + STACK_BYTES - sizeof(words);
		break;
	default:
		return false;
	}
	if (vmi_space_read(space, at, words, sizeof(words), NULL) < 0)
		return false;
	regs->r15 = words[0];
	regs->r14 = words[1];
	regs->r13 = words[2];
	regs->r12 = words[3];
	regs->rbp = words[4];
	regs->rbx = words[5];
	regs->r11 = words[6];
	regs->r10 = words[7];
	regs->r9 = words[8];
	regs->r8 = words[9];
	regs->rax = words[10];
	regs->rcx = words[11];
	regs->rdx = words[12];
	regs->rsi = words[13];
	regs->rdi = words[14];
	regs->rip = words[16];
	regs->cs.selector = (uint16_t)words[17];
	regs->rflags = words[18];
	regs->rsp = words[19];
	regs->ss.selector = (uint16_t)words[20];
	return true;
}
