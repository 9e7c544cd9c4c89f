/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vCPUs and chips between QEMU's stream and libfork's tables, against a real
 * QEMU: what was read is what the same, paused QEMU shows to people and to
 * gdb, and what was written is what another QEMU shows that was given it.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <libfork/devstate.h>

#include "base/cleanup.h"
#include "domain/backend.h"
#include "domain/qemu_domain.h"
#include "lib/guest_vm.h"
#include "lib/sample.h"
#include "qemu/chip_sections.h"
#include "qemu/cpu_translate.h"
#include "qemu/devfile.h"
#include "qemu/devstate_write.h"
#include "qemu/gdb_client.h"
#include "qemu/timer_section.h"
#include "snapshot/snapshot.h"

#define BOOT_MS       300000
#define MSR_KERNEL_GS 0xc0000102
#define MSR_PAT       0x277
#define MSR_DEADLINE  0x6e0

TestSuite(
    import_export, .init = guest_setup, .fini = guest_teardown, .timeout = 240);

static struct lf_error error;
#define OK(call) cr_assert_eq((call), 0, "%s: %s", #call, error.message)

/* --- what a QEMU shows --- */

static char *
ask(struct lf_domain *domain, const char *command)
{
	struct qemu_domain *qemu = domain->impl;
	char *text = NULL;

	OK(qmp_hmp(qemu->qmp, command, &text, &error));
	return text;
}

/* Where "NAME" and what stands between it and its value ends. */
static const char *
behind(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	cr_assert_not_null(at, "no '%s' in: %s", name, text);
	return at + strlen(name);
}

static uint64_t
shown(const char *text, const char *name)
{
	return strtoull(behind(text, name), NULL, 16);
}

#define SHOWS(text, name, value)                                        \
	cr_assert_eq(shown(text, name), (uint64_t)(value),              \
	    "%s0x%" PRIx64 ", not 0x%" PRIx64, name, (uint64_t)(value), \
	    shown(text, name))

/* "CS =0033 0000000000000000 ffffffff 00a0fb00 DPL=3 CS64 [-RA]" */
static void
check_segment(
    const char *text, const char *name, const struct cpu_segment *segment)
{
	unsigned selector, limit, flags;
	uint64_t base;

	cr_assert_eq(sscanf(behind(text, name), "%x %" SCNx64 " %x %x",
			 &selector, &base, &limit, &flags),
	    4, "%s", name);
	cr_assert_eq(segment->selector, selector, "%s", name);
	cr_assert_eq(segment->base, base, "%s", name);
	cr_assert_eq(segment->limit, limit, "%s", name);
	cr_assert_eq(segment->dpl, flags >> 13 & 3, "%s", name);
	cr_assert_eq(segment->present, flags >> 15 & 1, "%s", name);
	cr_assert_eq(segment->unusable, !(flags >> 15 & 1), "%s", name);
	cr_assert_eq(segment->s, flags >> 12 & 1, "%s", name);
	cr_assert_eq(segment->l, flags >> 21 & 1, "%s", name);
	cr_assert_eq(segment->db, flags >> 22 & 1, "%s", name);
	cr_assert_eq(segment->g, flags >> 23 & 1, "%s", name);
	/* A loaded TSS is busy, which TCG does not say. */
	cr_assert_eq(segment->type,
	    (flags >> 8 & 15) | (strcmp(name, "TR =") == 0 ? 2 : 0), "%s",
	    name);
}

static void
check_registers(const char *text, const struct cpu_state *state)
{
	const struct cpu_regs *r = &state->regs;
	const struct cpu_sregs *s = &state->sregs;
	uint16_t fcw, fsw;
	uint32_t mxcsr;

	SHOWS(text, "RAX=", r->rax);
	SHOWS(text, "RBX=", r->rbx);
	SHOWS(text, "RCX=", r->rcx);
	SHOWS(text, "RDX=", r->rdx);
	SHOWS(text, "RSI=", r->rsi);
	SHOWS(text, "RDI=", r->rdi);
	SHOWS(text, "RBP=", r->rbp);
	SHOWS(text, "RSP=", r->rsp);
	SHOWS(text, "R8 =", r->r8);
	SHOWS(text, "R9 =", r->r9);
	SHOWS(text, "R10=", r->r10);
	SHOWS(text, "R11=", r->r11);
	SHOWS(text, "R12=", r->r12);
	SHOWS(text, "R13=", r->r13);
	SHOWS(text, "R14=", r->r14);
	SHOWS(text, "R15=", r->r15);
	SHOWS(text, "RIP=", r->rip);
	SHOWS(text, "RFL=", r->rflags);
	SHOWS(text, "HLT=", state->mp_state == CPU_MP_HALTED);
	check_segment(text, "ES =", &s->es);
	check_segment(text, "CS =", &s->cs);
	check_segment(text, "SS =", &s->ss);
	check_segment(text, "DS =", &s->ds);
	check_segment(text, "FS =", &s->fs);
	check_segment(text, "GS =", &s->gs);
	check_segment(text, "LDT=", &s->ldt);
	check_segment(text, "TR =", &s->tr);
	SHOWS(text, "GDT=     ", s->gdt.base);
	SHOWS(text, "IDT=     ", s->idt.base);
	SHOWS(text, "CR0=", s->cr0);
	SHOWS(text, "CR2=", s->cr2);
	SHOWS(text, "CR3=", s->cr3);
	SHOWS(text, "CR4=", s->cr4);
	SHOWS(text, "EFER=", s->efer);
	SHOWS(text, "DR0=", state->debugregs.db[0]);
	SHOWS(text, "DR6=", state->debugregs.dr6);
	SHOWS(text, "DR7=", state->debugregs.dr7);
	memcpy(&fcw, state->xsave.bytes, 2);
	memcpy(&fsw, state->xsave.bytes + 2, 2);
	memcpy(&mxcsr, state->xsave.bytes + 24, 4);
	SHOWS(text, "FCW=", fcw);
	SHOWS(text, "FSW=", fsw);
	SHOWS(text, "MXCSR=", mxcsr);
}

/* "YMM00=" and four words, or "XMM00=" and two, the highest first. */
static void
check_vectors(const char *text, const struct cpu_state *state)
{
	bool ymm = strstr(text, "YMM00=") != NULL;

	for (unsigned i = 0; i < 16; i++) {
		uint64_t words[4] = {0}, low[2], high[2];
		char name[8];

		snprintf(name, sizeof(name), "%cMM%02u=", ymm ? 'Y' : 'X', i);
		sscanf(behind(text, name),
		    "%" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64, &words[0],
		    &words[1], &words[2], &words[3]);
		memcpy(low, state->xsave.bytes + 160 + 16 * i, 16);
		memcpy(high, state->xsave.bytes + 576 + 16 * i, 16);
		cr_assert_eq(words[ymm ? 3 : 1], low[0], "%s", name);
		cr_assert_eq(words[ymm ? 2 : 0], low[1], "%s", name);
		if (ymm) {
			cr_assert_eq(words[1], high[0], "%s", name);
			cr_assert_eq(words[0], high[1], "%s", name);
		}
	}
}

/* "ISR\t 48(level) 236 " or "(none)". */
static void
check_vector_set(const char *text, const char *name,
    const struct cpu_lapic *lapic, unsigned reg)
{
	char line[2048], *word, *rest = NULL;
	uint32_t wanted[8] = {0};
	unsigned vector;

	snprintf(line, sizeof(line), "%s", behind(text, name));
	line[strcspn(line, "\r\n")] = '\0';
	for (word = strtok_r(line, " ", &rest); word != NULL;
	     word = strtok_r(NULL, " ", &rest))
		if (sscanf(word, "%u", &vector) == 1)
			wanted[vector / 32] |= UINT32_C(1) << vector % 32;
	for (unsigned i = 0; i < 8; i++)
		cr_assert_eq(cpu_lapic_read(lapic, reg + 16 * i), wanted[i],
		    "%s%u", name, i);
}

static void
check_lapic(const char *text, const struct cpu_state *state)
{
	const struct cpu_lapic *lapic = &state->lapic;

	SHOWS(text, "LVT0\t ", cpu_lapic_read(lapic, 0x350));
	SHOWS(text, "LVT1\t ", cpu_lapic_read(lapic, 0x360));
	SHOWS(text, "LVTPC\t ", cpu_lapic_read(lapic, 0x340));
	SHOWS(text, "LVTERR\t ", cpu_lapic_read(lapic, 0x370));
	SHOWS(text, "LVTTHMR\t ", cpu_lapic_read(lapic, 0x330));
	SHOWS(text, "LVTT\t ", cpu_lapic_read(lapic, 0x320));
	SHOWS(text, "DCR=", cpu_lapic_read(lapic, 0x3e0) & 0xb);
	cr_assert_eq(strtoul(behind(text, "initial_count = "), NULL, 10),
	    cpu_lapic_read(lapic, 0x380));
	SHOWS(text, "SPIV\t ", cpu_lapic_read(lapic, 0xf0));
	SHOWS(text, "ICR\t ", cpu_lapic_read(lapic, 0x300));
	SHOWS(text, "ICR2\t ", cpu_lapic_read(lapic, 0x310));
	SHOWS(text, "ESR\t ", cpu_lapic_read(lapic, 0x280));
	SHOWS(text, "TPR ", cpu_lapic_read(lapic, 0x80));
	SHOWS(text, "DFR ", cpu_lapic_read(lapic, 0xe0) >> 28);
	SHOWS(text, "LDR ", cpu_lapic_read(lapic, 0xd0) >> 24);
	check_vector_set(text, "ISR\t ", lapic, 0x100);
	check_vector_set(text, "IRR\t ", lapic, 0x200);
}

/* The chips' texts come in any order, the PICs in a line each. */
static void
check_chips(const char *text, const struct cpu_chips *chips)
{
	static const char *const names[] = {"pic0: irr=", "pic1: irr="};
	const char *pins = behind(text, "ioapic0: ");

	for (unsigned i = 0; i < 2; i++) {
		const char *pic = behind(text, names[i]);

		SHOWS(text, names[i], chips->pic[i].irr);
		SHOWS(pic, "imr=", chips->pic[i].imr);
		SHOWS(pic, "isr=", chips->pic[i].isr);
		SHOWS(pic, "hprio=", chips->pic[i].priority_add);
		SHOWS(pic, "irq_base=", chips->pic[i].irq_base);
		SHOWS(pic, "rr_sel=", chips->pic[i].read_reg_select);
		SHOWS(pic, "elcr=", chips->pic[i].elcr);
		SHOWS(pic, "fnm=", chips->pic[i].special_fully_nested_mode);
	}
	SHOWS(pins, "id=", chips->ioapic.id);
	SHOWS(pins, "sel=", chips->ioapic.ioregsel);
	for (unsigned i = 0; i < CPU_IOAPIC_PINS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "pin %-2u ", i);
		SHOWS(pins, name, chips->ioapic.redirtbl[i]);
	}
}

/* --- gdb --- */

static struct gdb_client *
gdb_of(struct lf_domain *domain, const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_free char *path = guest_path("%s.gdb", name);
	struct gdb_client *client;
	char command[256];
	int fd;

	snprintf(command, sizeof(command),
	    "gdbserver unix:%s,server=on,wait=off", path);
	free(ask(domain, command));
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)),
	    0, "%s", path);
	OK(gdb_client_new(fd, 120000, &client, &error));
	return client;
}

static void
check_gdb(struct gdb_client *client, const struct cpu_state *state)
{
	uint64_t gs = 0;
	const struct {
		const char *name;
		uint64_t value;
	} wanted[] = {
	    {"rip", state->regs.rip},
	    {"r13", state->regs.r13},
	    {"fs_base", state->sregs.fs.base},
	    {"gs_base", state->sregs.gs.base},
	    {"k_gs_base", (cpu_state_msr(state, MSR_KERNEL_GS, &gs), gs)},
	    {"cr3", state->sregs.cr3},
	    {"cr8", state->sregs.cr8},
	    {"efer", state->sregs.efer},
	};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		uint64_t value;

		OK(gdb_client_read_register(
		    client, 1, wanted[i].name, &value, &error));
		cr_assert_eq(value, wanted[i].value,
		    "%s: 0x%" PRIx64 ", not 0x%" PRIx64, wanted[i].name,
		    wanted[i].value, value);
	}
}

/* --- tables --- */

static struct cpu_state *
import(const struct devfile *file, struct cpu_chips *chips)
{
	struct cpu_state *state = cpu_state_new(0);
	struct qemu_chips sections;
	struct qemu_timer timer;
	struct qemu_vcpu vcpu;

	state->lapic.present = 1;
	OK(qemu_vcpu_load(file->stream, 0, true, &vcpu, &error));
	OK(qemu_vcpu_to_state(&vcpu, &sample_layout, state, &error));
	OK(qemu_timer_load(file->stream, &timer, &error));
	state->tsc.tsc = timer.ticks;
	OK(qemu_chips_load(file->stream, &sections, &error));
	qemu_chips_to_state(&sections, true, chips);
	return state;
}

/* What a fork may have done. */
static void
change(struct cpu_state *state, struct cpu_chips *chips)
{
	static const uint64_t ymm3[2] = {0x1122334455667788, 0x99aabbccddeeff};
	uint64_t bv;

	memcpy(&bv, state->xsave.bytes + 512, 8);
	bv |= 7;
	memcpy(state->xsave.bytes + 512, &bv, 8);
	memcpy(state->xsave.bytes + 160 + 3 * 16, ymm3, 16);
	memcpy(state->xsave.bytes + 576 + 3 * 16, ymm3, 16);
	state->regs.r13 = 0x1313131313131313;
	state->regs.rflags ^= 1;
	state->debugregs.db[0] = 0xdb00;
	state->debugregs.dr7 = 0x455;
	state->sregs.cr2 = 0xc2c2;
	OK(cpu_state_set_msr(state, MSR_KERNEL_GS, 0xffff888012345678, &error));
	OK(cpu_state_set_msr(state, MSR_PAT, 0x0606060606060606, &error));
	OK(cpu_state_set_msr(state, MSR_DEADLINE, 0x123456789, &error));
	state->events.exception.injected = 1;
	state->events.exception.nr = 6;
	cpu_lapic_write(&state->lapic, 0x210, 1 << 16); /* IRR: vector 48 */
	state->tsc.tsc += 5000000;
	state->tsc.khz = 1000000;
	chips->pic[1].imr ^= 0x0f;
	chips->ioapic.redirtbl[20] = 0x1000000000000aa;
}

static int
note(void *opaque, const char *path, const struct lf_devstate_item *a,
    const struct lf_devstate_item *b)
{
	char *text = opaque;

	(void)a;
	(void)b;
	snprintf(text + strlen(text), 4096 - strlen(text), "\n%s", path);
	return 0;
}

/* What a QEMU that took the stream in says when it is asked for its own. The
 * HPET and the CMOS clock go on with the host's time, and their timers' names
 * have "timer" in them: so a section is looked for at the start of a line. */
static void
check_comes_back(struct lf_snapshot *given, struct lf_snapshot *back)
{
	static const char *const changed[] = {
	    "\ncpu[0]", "\napic[0]", "\ni8259", "\nioapic", "\ntimer"};
	struct lf_devstate *a = NULL, *b = NULL;
	char text[4096] = "";

	OK(lf_devstate_open(given->devstate_fd, &a, &error));
	OK(lf_devstate_open(back->devstate_fd, &b, &error));
	cr_assert_geq(lf_devstate_compare(a, b, note, text, &error), 0);
	for (size_t i = 0; i < sizeof(changed) / sizeof(changed[0]); i++)
		cr_assert_null(strstr(text, changed[i]), "%s", text);
	lf_devstate_free(a);
	lf_devstate_free(b);
}

static void
give(struct lf_snapshot *snapshot, const struct devfile *file,
    struct cpu_state *state, const struct cpu_chips *chips)
{
	struct devstate_parts parts = {
	    .base = file->stream,
	    .tcg = true,
	    .vcpu_count = 1,
	    .vcpus = &state,
	    .chips = chips,
	    .cpuid = &sample_layout,
	};
	uint64_t len;
	int fd;

	OK(devstate_write(&parts, &fd, &len, &error));
	close(snapshot->devstate_fd);
	snapshot->devstate_fd = fd;
	snapshot->devstate_length = len;
}

Test(import_export, state_is_what_qemu_shows_before_and_after)
{
	cleanup_config struct lf_domain_config *config =
	    guest_linux("parent", "xf.run=counter,agent");
	cleanup_snapshot struct lf_snapshot *snapshot = NULL, *back = NULL;
	cleanup_domain struct lf_domain *parent = NULL, *fork = NULL;
	cleanup(devfile_free_p) struct devfile *file = NULL;
	cleanup(gdb_client_free_p) struct gdb_client *gdb = NULL, *other = NULL;
	cleanup_free char *registers = NULL, *lapic = NULL, *pic = NULL;
	struct lf_fork_options options;
	struct console console;
	struct cpu_chips chips = {0};
	struct cpu_state *state;

	OK(lf_domain_create(config, guest_launcher(), &parent, &error));
	console_open(&console, config->serial.path);
	OK(lf_domain_unpause(parent, &error));
	console_wait(&console, 0, "agent> ready", BOOT_MS);
	OK(lf_domain_freeze(parent, &snapshot, &error));
	console_drain(&console, 50);
	OK(devfile_read(snapshot->devstate_fd, NULL, &file, &error));

	state = import(file, &chips);
	registers = ask(parent, "info registers");
	check_registers(registers, state);
	check_vectors(registers, state);
	lapic = ask(parent, "info lapic");
	check_lapic(lapic, state);
	pic = ask(parent, "info pic");
	check_chips(pic, &chips);
	gdb = gdb_of(parent, "parent");
	check_gdb(gdb, state);

	/* Changed, and given to another QEMU. */
	change(state, &chips);
	give(snapshot, file, state, &chips);
	options = guest_fork_options("fork");
	OK(lf_domain_fork(snapshot, &options, &fork, &error));
	free(registers);
	registers = ask(fork, "info registers");
	check_registers(registers, state);
	check_vectors(registers, state);
	free(lapic);
	lapic = ask(fork, "info lapic");
	check_lapic(lapic, state);
	free(pic);
	pic = ask(fork, "info pic");
	check_chips(pic, &chips);
	other = gdb_of(fork, "fork");
	check_gdb(other, state);
	OK(lf_domain_freeze(fork, &back, &error));
	check_comes_back(snapshot, back);
	cpu_state_free(state);
	console_close(&console);
}

/* No KVM has what AMD gave up in 2010; a guest was told of it and may use it.
 */
Test(import_export, a_tcg_parent_with_more_than_kvm_has_is_refused)
{
	cleanup_config struct lf_domain_config *config = guest_bootless("old");
	cleanup_snapshot struct lf_snapshot *snapshot = NULL;
	cleanup_domain struct lf_domain *parent = NULL;
	struct lf_domain *fork = NULL;
	struct lf_fork_options options;

	if (access("/dev/kvm", R_OK | W_OK) < 0)
		cr_skip_test("there is no /dev/kvm");
	OK(lf_domain_config_set(&config->cpu, "qemu64,+3dnow", &error));
	OK(lf_domain_create(config, guest_launcher(), &parent, &error));
	OK(lf_domain_freeze(parent, &snapshot, &error));
	lf_fork_options_init(&options);
	options.launcher = guest_launcher();
	options.name = "fork";
	cr_assert_eq(
	    lf_domain_fork(snapshot, &options, &fork, &error), -ENOTSUP);
	cr_assert_not_null(
	    strstr(error.message, "emulated by TCG, cannot go on in this KVM"),
	    "%s", error.message);
	cr_assert_not_null(
	    strstr(error.message, "CPUID leaf 0x"), "%s", error.message);
	cr_assert_null(fork);
	cr_assert_eq(lf_domain_state(parent), LF_DOMAIN_FROZEN);
}
