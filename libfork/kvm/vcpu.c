/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vCPUs: making and running them. Registers travel in the run page where KVM
 * can (SYNC_REGS): registers, system registers and events wait there together
 * until the next KVM_RUN takes them.
 */
#include "kvm/vcpu.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cpu/arch.h"
#include "cpu/state.h"
#include "kvm/internal.h"
#include "kvm/watch.h"

#define INSN_HLT 0xf4

/*
 * The copy is on the stack: from the heap, each vCPU made in another thread
 * than the first would cost a mprotect(2), which waits for other threads'
 * KVM calls.
 */
static int
set_cpuid(
    struct vcpu *vcpu, const struct vm_recipe *recipe, struct lf_error *error)
{
	struct cpu_cpuid cpuid =
	    recipe->cpuid != NULL ? *recipe->cpuid : vcpu->device->cpuid;

	cpu_cpuid_set_apic_id(&cpuid, vcpu->apic_id);
	return vcpu_try(vcpu, KVM_SET_CPUID2, &cpuid, "set CPUID", error);
}

static int
set_tsc_khz(struct vcpu *vcpu, uint32_t khz, struct lf_error *error)
{
	int host = vcpu_ioctl(vcpu, KVM_GET_TSC_KHZ, NULL);
	int r;

	vcpu->tsc_khz = host > 0 ? host : 0;
	if (khz == 0 || (int)khz == host)
		return 0;
	r = vcpu_ioctl(vcpu, KVM_SET_TSC_KHZ, (void *)(uintptr_t)khz);
	if (r < 0)
		return error_set(error, ENOTSUP,
		    "the guest's clock runs at %u kHz, this host's at %d kHz, "
		    "and its KVM cannot scale (%s)",
		    khz, host, strerror(-r));
	vcpu->tsc_khz = khz;
	vcpu->tsc_scaled = true;
	return 0;
}

static int
map_run_page(struct vcpu *vcpu, uint32_t ring_entries, struct lf_error *error)
{
	size_t ring_bytes = ring_entries * sizeof(struct kvm_dirty_gfn);
	void *page;

	page = sys.mmap(NULL, vcpu->device->run_bytes, PROT_READ | PROT_WRITE,
	    MAP_SHARED, vcpu->fd, 0);
	if (page == MAP_FAILED)
		return error_sys(error, errno,
		    "vCPU %u: cannot map its run page", vcpu->index);
	vcpu->run = page;
	if (ring_entries == 0)
		return 0;
	page = sys.mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
	    vcpu->fd, KVM_DIRTY_LOG_PAGE_OFFSET * sysconf(_SC_PAGESIZE));
	if (page == MAP_FAILED)
		return error_sys(error, errno,
		    "vCPU %u: cannot map its dirty ring", vcpu->index);
	vcpu->ring = page;
	vcpu->ring_entries = ring_entries;
	return 0;
}

int
vcpu_new(struct vm *vm, unsigned index, uint32_t apic_id,
    const struct vm_recipe *recipe, struct lf_error *error)
{
	struct vcpu *vcpu = sys.calloc(1, sizeof(*vcpu));
	int signal, rc;

	if (vcpu == NULL)
		return error_nomem(error);
	vcpu->fd = -1;
	vm->vcpu[vm->vcpu_count++] = vcpu;
	vcpu->vm = vm;
	vcpu->device = vm->device;
	vcpu->index = index;
	vcpu->apic_id = apic_id;
	vcpu->interrupts = VCPU_INTERRUPTS_ALL;
	rc = watch_signal(&signal, error);
	if (rc < 0)
		return rc;
	rc = vm_ioctl(vm, KVM_CREATE_VCPU, (void *)(uintptr_t)apic_id);
	if (rc < 0)
		return error_sys(error, -rc,
		    "KVM: cannot create vCPU %u (APIC id %u)", index, apic_id);
	vcpu->fd = rc;
	rc = map_run_page(vcpu, recipe->ring_entries, error);
	if (rc == 0)
		rc = set_cpuid(vcpu, recipe, error);
	if (rc == 0)
		rc = set_tsc_khz(vcpu, recipe->tsc_khz, error);
	if (rc == 0 && (recipe->caps & VM_CAP_HYPERV_SYNIC)) {
		struct kvm_enable_cap synic = {.cap = KVM_CAP_HYPERV_SYNIC2};

		rc = vcpu_try(vcpu, KVM_ENABLE_CAP, &synic,
		    "enable Hyper-V's interrupt controller", error);
	}
	if (rc == 0 && vcpu->device->sync_regs)
		vcpu->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	return rc;
}

void
vcpu_free(struct vcpu *vcpu)
{
	if (vcpu == NULL)
		return;
	watch_remove(vcpu);
	if (vcpu->ring != NULL)
		munmap(vcpu->ring,
		    vcpu->ring_entries * sizeof(struct kvm_dirty_gfn));
	if (vcpu->run != NULL)
		munmap(vcpu->run, vcpu->device->run_bytes);
	close_fd(vcpu->fd);
	free(vcpu);
}

/* The byte before the instruction pointer. */
static bool
stands_after_hlt(struct vcpu *vcpu)
{
	struct cpu_regs regs;
	struct cpu_sregs sregs;
	uint8_t byte;

	if (vcpu_get_regs(vcpu, &regs, NULL) < 0 ||
	    (regs.rflags & RFLAGS_IF) == 0 ||
	    vcpu_get_sregs(vcpu, &sregs, NULL) < 0 || sregs.ss.dpl != 0)
		return false;
	return vcpu_read_gva(
		   vcpu, &sregs, sregs.cs.base + regs.rip - 1, &byte, 1) == 1 &&
	       byte == INSN_HLT;
}

/*
 * After an interruption: whether the vCPU is halted and, as interrupts are
 * blocked, stays so. From then on it is halted for KVM as well, so that its
 * state says so and an interrupt that is let through later wakes it.
 */
static bool
look_for_halt(struct vcpu *vcpu)
{
	struct kvm_mp_state mp_state;

	if (!vcpu->watched)
		return false;
	vcpu->counters.kicks++;
	if (vcpu_ioctl(vcpu, KVM_GET_MP_STATE, &mp_state) < 0)
		return false;
	if (mp_state.mp_state == KVM_MP_STATE_RUNNABLE &&
	    stands_after_hlt(vcpu)) {
		mp_state.mp_state = KVM_MP_STATE_HALTED;
		if (vcpu_ioctl(vcpu, KVM_SET_MP_STATE, &mp_state) < 0)
			return false;
	}
	vcpu->parked = mp_state.mp_state == KVM_MP_STATE_HALTED;
	return vcpu->parked;
}

static int
report(
    struct lf_exit *exit, const struct vcpu *vcpu, enum lf_exit_reason reason)
{
	memset(exit, 0, sizeof(*exit));
	exit->vcpu = vcpu->index;
	exit->reason = reason;
	return VCPU_EXIT;
}

/*
 * The stop protocol: vcpu_stop() sets `stop`, then immediate_exit, then sends
 * a signal to who runs. Here immediate_exit is cleared before `stop` is taken:
 * a stop that comes in between leaves immediate_exit set and ends the next
 * KVM_RUN, so none is ever lost.
 */
static bool
take_stop(struct vcpu *vcpu)
{
	vcpu_set_immediate(vcpu, false);
	return atomic_exchange(&vcpu->stop, false);
}

/* -EINTR: nothing happened, run again. */
static int
after_run(
    struct vcpu *vcpu, int rc, struct lf_exit *exit, struct lf_error *error)
{
	switch (rc) {
	case 0:
		if (vcpu->run->exit_reason == KVM_EXIT_DIRTY_RING_FULL) {
			vcpu->counters.ring_full++;
			return VCPU_RING_FULL;
		}
		return exit_decode(vcpu, exit) ? VCPU_EXIT : -EINTR;
	case -EINTR:
		if (take_stop(vcpu))
			return report(exit, vcpu, LF_EXIT_INTERRUPTED);
		if (look_for_halt(vcpu))
			return report(exit, vcpu, LF_EXIT_IDLE);
		return -EINTR;
	case -EAGAIN:
		/* A vCPU that waited to be started was started. */
		return -EINTR;
	default:
		return error_sys(
		    error, -rc, "vCPU %u: cannot run", vcpu->index);
	}
}

int
vcpu_run(struct vcpu *vcpu, struct lf_exit *exit, struct lf_error *error)
{
	int rc;

	if (vcpu->access.pending && vcpu->access.answered) {
		/* KVM ends it at the beginning of the run. */
		vcpu->access.pending = false;
	} else if (vcpu->access.pending) {
		rc = vcpu_rollback(vcpu, error);
		if (rc < 0)
			return rc;
	}
	if (vcpu->parked && vcpu->interrupts != VCPU_INTERRUPTS_BLOCK &&
	    vcpu->vm->irqchip != VM_IRQCHIP_NONE)
		vcpu->parked = false;
	if (vcpu->parked)
		return report(exit, vcpu,
		    take_stop(vcpu) ? LF_EXIT_INTERRUPTED : LF_EXIT_IDLE);
	atomic_store(&vcpu->runner, watch_self());
	do {
		if (vcpu->watched)
			watch_enter(vcpu);
		rc = vcpu_enter(vcpu);
		if (vcpu->watched)
			watch_leave(vcpu);
		rc = after_run(vcpu, rc, exit, error);
	} while (rc == -EINTR);
	atomic_store(&vcpu->runner, 0);
	return rc;
}

void
vcpu_stop(struct vcpu *vcpu)
{
	atomic_store(&vcpu->stop, true);
	vcpu_set_immediate(vcpu, true);
	watch_kick(vcpu);
}

void
vcpu_stop_clear(struct vcpu *vcpu)
{
	take_stop(vcpu);
}

int
vcpu_set_interrupts(
    struct vcpu *vcpu, enum vcpu_interrupts interrupts, struct lf_error *error)
{
	int rc = 0;

	if (interrupts == VCPU_INTERRUPTS_BLOCK && !vcpu->device->block_irq &&
	    vcpu->vm->irqchip != VM_IRQCHIP_NONE)
		return error_set(error, ENOTSUP,
		    "KVM here cannot block interrupts (KVM_GUESTDBG_BLOCKIRQ): "
		    "Linux 6.1 or newer is needed");
	vcpu->interrupts = interrupts;
	if (interrupts == VCPU_INTERRUPTS_BLOCK &&
	    vcpu->vm->irqchip != VM_IRQCHIP_NONE)
		rc = watch_add(vcpu, error);
	else
		watch_remove(vcpu);
	return rc < 0 ? rc : guest_debug_apply(vcpu, false, error);
}

unsigned
vcpu_index(const struct vcpu *vcpu)
{
	return vcpu->index;
}

struct vm *
vcpu_vm(const struct vcpu *vcpu)
{
	return vcpu->vm;
}

const struct vcpu_counters *
vcpu_counters(const struct vcpu *vcpu)
{
	return &vcpu->counters;
}
