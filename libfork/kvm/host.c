/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Host probe: runs a few tiny guests and writes down what happened.
 */
#include <libfork/host.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/sys.h"
#include "kvm/internal.h"
#include "kvm/probe_guest.h"
#include "kvm/speed.h"

/*
 * Short: on a busy machine many tries are interrupted, the shorter the fewer.
 * Emulation takes some milliseconds for one.
 */
#define LOOP_ROUNDS 4000

static const char *const fact_names[LF_HOST_FACT_COUNT] = {
    [LF_HOST_KVM] = "KVM",
    [LF_HOST_KVM_API] = "KVM interface",
    [LF_HOST_IMMEDIATE_EXIT] = "immediate exit",
    [LF_HOST_SYNC_REGS] = "register page",
    [LF_HOST_DIRTY_RING] = "dirty ring",
    [LF_HOST_BLOCK_INTERRUPTS] = "blocked interrupts",
    [LF_HOST_SREGS2] = "PAE page pointers",
    [LF_HOST_XSAVE2] = "vector state",
    [LF_HOST_LAPIC] = "local APIC",
    [LF_HOST_TSC_OFFSET] = "TSC offset",
    [LF_HOST_INT3] = "INT3 breakpoints",
    [LF_HOST_USER_MSR] = "unknown MSRs",
    [LF_HOST_MSR_FILTER] = "clock MSRs",
    [LF_HOST_INSN_BYTES] = "failed instructions",
};

static void say(struct lf_host *host, enum lf_host_fact_index index,
    enum lf_host_grade grade, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void
say(struct lf_host *host, enum lf_host_fact_index index,
    enum lf_host_grade grade, const char *format, ...)
{
	struct lf_host_fact *fact = &host->fact[index];
	va_list args;

	fact->grade = grade;
	va_start(args, format);
	vsnprintf(fact->text, sizeof(fact->text), format, args);
	va_end(args);
}

/* One of two sentences. */
static void
say_whether(struct lf_host *host, enum lf_host_fact_index index, bool good,
    enum lf_host_grade otherwise, const char *yes, const char *no)
{
	say(host, index, good ? LF_HOST_GOOD : otherwise, "%s",
	    good ? yes : no);
}

static double
native_loop(void)
{
	unsigned long rounds = LOOP_ROUNDS;
	double start = clock_seconds();

	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(rounds));
	return clock_seconds() - start;
}

/* The same instructions at CPL 0, then an exit. */
static int
guest_loop(struct probe_guest *guest, uint64_t rounds, double *ret_seconds,
    struct lf_error *error)
{
	static const uint8_t code[] = {
	    0x48, 0xff, 0xc9, /* dec rcx */
	    0x75, 0xfb,       /* jnz */
	    0xe6, 0x80,       /* out 0x80, al */
	};
	struct cpu_regs regs = {.rcx = rounds};
	struct lf_exit exit;
	double start;
	int rc;

	rc = probe_guest_load(guest, code, sizeof(code), 0, &regs, error);
	if (rc < 0)
		return rc;
	start = clock_seconds();
	rc = vcpu_run(guest->vcpu, &exit, error);
	*ret_seconds = clock_seconds() - start;
	if (rc < 0)
		return rc;
	if (exit.reason != LF_EXIT_IO)
		return error_set(error, EIO,
		    "kernel-mode guest code does not run: %s",
		    lf_exit_name(&exit));
	return 0;
}

/* One try: a guest that exits at once, one with the loop, the loop here. */
static int
try_speed(
    struct speed *speed, struct probe_guest *guest, struct lf_error *error)
{
	double entry, inside;
	int rc = guest_loop(guest, 1, &entry, error);

	if (rc == 0)
		rc = guest_loop(guest, LOOP_ROUNDS, &inside, error);
	if (rc == 0)
		speed_add(speed, entry, inside, native_loop());
	return rc;
}

static int
measure_speed(
    struct lf_host *host, struct probe_guest *guest, struct lf_error *error)
{
	struct speed speed = {0};
	enum speed_verdict verdict;
	int rc;

	do {
		rc = try_speed(&speed, guest, error);
		if (rc < 0)
			return rc;
		verdict = speed_judge(&speed);
	} while (verdict == SPEED_UNDECIDED);
	host->guest_rate = 2 * LOOP_ROUNDS / speed_guest(&speed);
	host->native_rate = 2 * LOOP_ROUNDS / speed.native;
	host->kvm = verdict == SPEED_NATIVE ? LF_HOST_KVM_HARDWARE
					    : LF_HOST_KVM_SOFTWARE;
	if (host->kvm == LF_HOST_KVM_HARDWARE)
		say(host, LF_HOST_KVM, LF_HOST_GOOD,
		    "hardware: kernel-mode guest code runs natively "
		    "(%.0f million instructions/s)",
		    host->guest_rate / 1e6);
	else
		say(host, LF_HOST_KVM, LF_HOST_LIMITED,
		    "software: kernel-mode guest code is emulated (%.1f "
		    "million instructions/s, %.0f outside); operating systems "
		    "need TCG here",
		    host->guest_rate / 1e6, host->native_rate / 1e6);
	return 0;
}

/* INT3 with breakpoints asked for: a debug exit, or anything else. */
static int
measure_int3(
    struct lf_host *host, struct probe_guest *guest, struct lf_error *error)
{
	static const uint8_t code[] = {0xcc};
	static const struct vcpu_debug debug = {.int3 = true};
	struct lf_exit exit = {0};
	int rc;

	rc = probe_guest_load(guest, code, sizeof(code), 0, NULL, error);
	if (rc == 0 && vcpu_set_debug(guest->vcpu, &debug, NULL) == 0) {
		if (vcpu_run(guest->vcpu, &exit, NULL) < 0)
			exit.reason = LF_EXIT_ERROR;
	}
	say_whether(host, LF_HOST_INT3,
	    exit.reason == LF_EXIT_DEBUG && exit.debug.exception == 3,
	    LF_HOST_LIMITED, "reported",
	    "not reported: probes use an OUT instruction of two bytes instead");
	return rc;
}

static void
say_caps(struct lf_host *host, const struct kvm_device *device)
{
	say(host, LF_HOST_KVM_API, LF_HOST_GOOD, "version %d", KVM_API_VERSION);
	say(host, LF_HOST_IMMEDIATE_EXIT, LF_HOST_GOOD, "there");
	say_whether(host, LF_HOST_SYNC_REGS, device->sync_regs, LF_HOST_LIMITED,
	    "there", "missing: resets make more system calls");
	if (device->ring_entries_max > 0)
		say(host, LF_HOST_DIRTY_RING, LF_HOST_GOOD, "up to %u entries",
		    device->ring_entries_max);
	else
		say(host, LF_HOST_DIRTY_RING, LF_HOST_MISSING,
		    "missing: forks without device model cannot be reset; "
		    "Linux 6.1 or newer has it");
	say_whether(host, LF_HOST_BLOCK_INTERRUPTS, device->block_irq,
	    LF_HOST_MISSING, "there",
	    "missing: forks without device model cannot block interrupts; "
	    "Linux 6.1 or newer has it");
	say_whether(host, LF_HOST_SREGS2, device->sregs2, LF_HOST_LIMITED,
	    "there", "missing: guests in PAE mode cannot be forked");
	say(host, LF_HOST_XSAVE2, LF_HOST_GOOD, "%u bytes", device->xsave_len);
	say_whether(host, LF_HOST_LAPIC, device->split_irqchip, LF_HOST_LIMITED,
	    "without other interrupt controllers",
	    "only with all other interrupt controllers");
	say_whether(host, LF_HOST_TSC_OFFSET, device->tsc_offset,
	    LF_HOST_LIMITED, "can be set, and the guest's TSC follows it",
	    "has no effect: a fork's clock jumps by the time since the "
	    "freeze");
	say_whether(host, LF_HOST_USER_MSR, device->user_space_msr,
	    LF_HOST_LIMITED, "can be answered",
	    "cannot be answered: they fault in the guest");
	say_whether(host, LF_HOST_MSR_FILTER, device->msr_filter,
	    LF_HOST_LIMITED, "can be kept from KVM",
	    "cannot be kept from KVM: those that a fork writes itself make KVM "
	    "write guest memory");
	say_whether(host, LF_HOST_INSN_BYTES, device->emulation_failure_bytes,
	    LF_HOST_LIMITED, "are shown", "are not shown by KVM");
	host->ring_entries_max = device->ring_entries_max;
	host->xsave_len = device->xsave_len;
	host->vcpus_max = device->vcpus_max;
	host->memslots_max = device->memslots_max;
}

static void
say_no_kvm(struct lf_host *host, enum lf_host_kvm kvm, const char *why)
{
	unsigned i;

	host->kvm = kvm;
	for (i = 0; i < LF_HOST_FACT_COUNT; i++)
		if (host->fact[i].text[0] == '\0')
			say(host, i, LF_HOST_MISSING, "not known without KVM");
	say(host, LF_HOST_KVM, LF_HOST_MISSING, "%s", why);
}

static int
probe(struct lf_host *host, struct kvm_device *device, struct lf_error *error)
{
	struct probe_guest guest;
	int rc = probe_guest_init(&guest, device, 1, 0, error);

	if (rc == 0)
		rc = measure_speed(host, &guest, error);
	if (rc == 0)
		rc = measure_int3(host, &guest, error);
	probe_guest_done(&guest);
	return rc;
}

static bool
out_of_resources(int rc)
{
	return rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE;
}

int
lf_host_probe_device(
    const char *path, struct lf_host *ret_host, struct lf_error *error)
{
	struct lf_error why;
	struct kvm_device *device = NULL;
	unsigned i;
	int rc;

	memset(ret_host, 0, sizeof(*ret_host));
	for (i = 0; i < LF_HOST_FACT_COUNT; i++)
		ret_host->fact[i].name = fact_names[i];
	lf_error_clear(&why);
	rc = kvm_device_open(path, &device, &why);
	if (rc == 0) {
		say_caps(ret_host, device);
		rc = probe(ret_host, device, &why);
	}
	kvm_device_free(device);
	if (rc == 0)
		return 0;
	if (out_of_resources(rc))
		return error_set(error, -rc, "probing KVM: %s", why.message);
	say_no_kvm(ret_host,
	    rc == -ENOENT   ? LF_HOST_KVM_ABSENT
	    : rc == -EACCES ? LF_HOST_KVM_DENIED
			    : LF_HOST_KVM_BROKEN,
	    why.message);
	return 0;
}

int
lf_host_probe(struct lf_host *ret_host, struct lf_error *error)
{
	return lf_host_probe_device(KVM_DEVICE_PATH, ret_host, error);
}

const char *
lf_host_kvm_name(enum lf_host_kvm kvm)
{
	static const char *const names[] = {
	    [LF_HOST_KVM_ABSENT] = "absent",
	    [LF_HOST_KVM_DENIED] = "not permitted",
	    [LF_HOST_KVM_BROKEN] = "broken",
	    [LF_HOST_KVM_SOFTWARE] = "software",
	    [LF_HOST_KVM_HARDWARE] = "hardware",
	};

	return kvm <= LF_HOST_KVM_HARDWARE ? names[kvm] : "unknown";
}

bool
lf_host_prefers_kvm(
    const struct lf_host *host, char *reason, unsigned reason_len)
{
	bool kvm = host->kvm == LF_HOST_KVM_HARDWARE;

	snprintf(reason, reason_len, "%s: %s", kvm ? "KVM" : "TCG, not KVM",
	    host->fact[LF_HOST_KVM].text);
	return kvm;
}
