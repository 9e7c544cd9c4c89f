/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Going back to the snapshot, making sure of it, and making a new one. State
 * is loaded before pages are restored: loading it can write guest memory.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cpu/cpuid.h"
#include "domain/backend.h"
#include "domain/kvm.h"
#include "domain/state.h"
#include "domain/vcpu_stream.h"
#include "kvm/dirty_log.h"
#include "kvm/ring.h"
#include "kvm/vcpu.h"
#include "kvm/vcpu_state.h"
#include "kvm/vm_chips.h"
#include "memory/delta.h"
#include "snapshot/snapshot.h"

/* Ring entries taken at a time. */
#define CHUNK 256

/* --- what was written --- */

static int
collect_ring(struct kvm_domain *kvm, struct vcpu *vcpu, struct lf_error *error)
{
	struct ring_page pages[CHUNK];
	size_t n, i;

	do {
		/* Room first: an entry that was taken must not be lost. */
		int rc = dirty_set_reserve(&kvm->set, CHUNK, error);

		if (rc < 0)
			return rc;
		n = ring_collect(vcpu, pages, CHUNK);
		kvm->counters.faults += n;
		for (i = 0; i < n; i++)
			dirty_set_add(&kvm->set,
			    kvm->view->ranges[pages[i].slot].first_page +
				pages[i].page);
	} while (n == CHUNK);
	return 0;
}

/*
 * Takes what is left in the bitmap into the set. A word is cleared only when
 * its pages are in: after a failure the rest is still there, as KVM has
 * forgotten it.
 */
static int
take_bits(struct kvm_domain *kvm, struct lf_error *error)
{
	const struct view_range *range = &kvm->view->ranges[kvm->bitmap_range];
	uint64_t words = (range->length / PAGE_BYTES + 63) / 64, w;

	for (w = 0; w < words; w++) {
		uint64_t bits = kvm->bitmap[w];
		int rc;

		if (bits == 0)
			continue;
		rc = dirty_set_reserve(&kvm->set, 64, error);
		if (rc < 0)
			return rc;
		for (; bits != 0; bits &= bits - 1) {
			kvm->counters.faults++;
			dirty_set_add(
			    &kvm->set, range->first_page + w * 64 +
					   (unsigned)__builtin_ctzl(bits));
		}
		kvm->bitmap[w] = 0;
	}
	return 0;
}

static int
collect_bitmap(struct kvm_domain *kvm, struct lf_error *error)
{
	size_t i;
	int rc = take_bits(kvm, error);

	for (i = 0; rc == 0 && i < kvm->view->range_count; i++) {
		const struct view_range *range = &kvm->view->ranges[i];

		if (range->first_page == VIEW_NO_PAGE ||
		    (range->flags & MEMORY_READONLY))
			continue;
		rc = dirty_log_get(kvm->vm, (uint32_t)i, kvm->bitmap, error);
		if (rc < 0)
			break;
		kvm->bitmap_range = i;
		rc = take_bits(kvm, error);
	}
	return rc;
}

int
kvm_collect(struct kvm_domain *kvm, struct lf_error *error)
{
	unsigned i;
	int rc = 0;

	if (kvm->method == LF_RESET_BITMAP)
		return collect_bitmap(kvm, error);
	for (i = 0; i < kvm->vcpu_count && rc == 0; i++)
		rc = collect_ring(kvm, vm_vcpu(kvm->vm, i), error);
	return rc;
}

/* --- reset --- */

uint32_t
kvm_reset_groups(unsigned reset_groups)
{
	static const uint32_t groups[] = {
	    0, /* memory */
	    CPU_GROUP_REGS | CPU_GROUP_SREGS | CPU_GROUP_EVENTS,
	    CPU_GROUP_XSAVE,
	    CPU_GROUP_MSRS | CPU_GROUP_XCRS | CPU_GROUP_NESTED,
	    CPU_GROUP_DEBUGREGS,
	    CPU_GROUP_MP_STATE | CPU_GROUP_LAPIC,
	    CPU_GROUP_TSC,
	};
	uint32_t mask = 0;
	size_t i;

	for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (reset_groups & (1U << i))
			mask |= groups[i];
	return mask;
}

static int
reset_memory(struct kvm_domain *kvm, struct lf_error *error)
{
	int rc = kvm_collect(kvm, error);

	if (rc < 0)
		return rc;
	switch (kvm->method) {
	case LF_RESET_ADAPTIVE:
		dirty_set_restore(&kvm->set);
		break;
	case LF_RESET_BITMAP:
		dirty_set_restore_forget(&kvm->set);
		return 0;
	case LF_RESET_DONTNEED:
		dirty_set_drop(&kvm->set);
		break;
	}
	if (ring_pressed(kvm->vm)) {
		rc = ring_give_back(kvm->vm, error);
		if (rc < 0)
			return rc;
		kvm->counters.ring_drains += (uint64_t)rc;
	}
	return 0;
}

static int
reset(struct kvm_domain *kvm, struct lf_error *error)
{
	uint64_t tsc = vcpu_state_host_tsc();
	unsigned i;

	for (i = 0; i < kvm->vcpu_count; i++) {
		int rc = vcpu_state_set(vm_vcpu(kvm->vm, i), kvm->groups,
		    kvm->wanted[i], tsc, error);

		if (rc < 0)
			return rc;
	}
	if (kvm->reset_chips) {
		int rc =
		    vm_chips_set(kvm->vm, kvm->chip_mask, &kvm->chips, error);

		if (rc < 0)
			return rc;
	}
	return kvm->reset_memory ? reset_memory(kvm, error) : 0;
}

static int
verify_chips(struct kvm_domain *kvm, struct lf_error *error)
{
	int rc = vm_chips_verify(kvm->vm, kvm->chip_mask, &kvm->chips, error);

	return rc == -EBADMSG ? error_prefix(error, -EILSEQ,
				    "the VM differs from the snapshot")
			      : rc;
}

static int
verify(struct kvm_domain *kvm, uint32_t groups, bool chips, bool memory,
    struct lf_error *error)
{
	int rc = memory ? memory_view_verify(kvm->view, error) : 0;
	unsigned i;

	for (i = 0; i < kvm->vcpu_count && rc == 0; i++) {
		rc = vcpu_state_verify(
		    vm_vcpu(kvm->vm, i), groups, kvm->wanted[i], error);
		if (rc == -EBADMSG)
			rc = error_prefix(error, -EILSEQ,
			    "vCPU %u differs from the snapshot", i);
	}
	return rc == 0 && chips ? verify_chips(kvm, error) : rc;
}

int
kvm_backend_reset(struct lf_domain *domain, struct lf_error *error)
{
	struct kvm_domain *kvm = domain->impl;
	int rc;

	gang_forget(&kvm->gang);
	rc = reset(kvm, error);
	kvm->counters.resets++;
	if (rc == 0 && kvm->verify_every > 0 &&
	    kvm->counters.resets % kvm->verify_every == 0)
		rc = verify(kvm, kvm->groups, kvm->reset_chips,
		    kvm->reset_memory, error);
	if (rc < 0)
		domain_set_state(
		    domain, LF_DOMAIN_CRASHED, "a reset did not succeed");
	return rc;
}

int
kvm_backend_verify(struct lf_domain *domain, struct lf_error *error)
{
	return verify(domain->impl, CPU_GROUP_ALL, true, true, error);
}

/* --- freeze --- */

static int
save_vcpus(struct kvm_domain *kvm, struct lf_snapshot *snapshot,
    struct lf_error *error)
{
	unsigned i;

	for (i = 0; i < kvm->vcpu_count; i++) {
		struct cpu_state *state = NULL;
		int rc = vcpu_state_take(vm_vcpu(kvm->vm, i), &state, error);

		if (rc == 0)
			rc = snapshot_add_vcpu(snapshot, state, error);
		if (rc < 0) {
			cpu_state_free(state);
			return rc;
		}
	}
	snapshot->complete = true;
	return 0;
}

static struct cpu_chips *
copy_chips(struct lf_snapshot *origin)
{
	struct cpu_chips *chips = sys.calloc(1, sizeof(*chips));

	pthread_mutex_lock(&origin->lock);
	if (chips != NULL && origin->chips != NULL)
		*chips = *origin->chips;
	pthread_mutex_unlock(&origin->lock);
	return chips;
}

/*
 * The chips as they are now. Those that this fork has not inside KVM stand as
 * they stood at its origin; only the clock went on, as the TSC did.
 */
static int
save_chips(struct kvm_domain *kvm, struct lf_snapshot *snapshot,
    struct lf_error *error)
{
	struct lf_snapshot *origin = kvm->domain->origin;
	const struct cpu_tsc *now = &snapshot->vcpus[0]->tsc;
	uint64_t passed = now->tsc - origin->vcpus[0]->tsc.tsc;

	snapshot->chips = copy_chips(origin);
	if (snapshot->chips == NULL)
		return error_nomem(error);
	if (now->khz != 0)
		snapshot->chips->clock.ns +=
		    (unsigned __int128)passed * 1000000 / now->khz;
	return vm_chips_get(kvm->vm, kvm->chip_mask, snapshot->chips, error);
}

DEFINE_CLEANUP(struct lf_snapshot *, lf_snapshot_unref);

int
kvm_save_states(struct lf_domain *domain, struct lf_snapshot **ret_snapshot,
    struct lf_error *error)
{
	struct kvm_domain *kvm = domain->impl;
	cleanup(lf_snapshot_unref_p) struct lf_snapshot *snapshot = NULL;
	int rc;

	rc = snapshot_new_like(domain->origin, &snapshot, error);
	if (rc == 0)
		rc = save_vcpus(kvm, snapshot, error);
	if (rc == 0)
		rc = save_chips(kvm, snapshot, error);
	if (rc < 0)
		return rc;
	*ret_snapshot = take_ptr(snapshot);
	return 0;
}

int
kvm_backend_freeze(struct lf_domain *domain, struct lf_snapshot **ret_snapshot,
    struct lf_error *error)
{
	struct kvm_domain *kvm = domain->impl;
	cleanup(lf_snapshot_unref_p) struct lf_snapshot *snapshot = NULL;
	int rc;

	rc = kvm_save_states(domain, &snapshot, error);
	if (rc == 0)
		rc = vcpu_export(
		    snapshot, domain->origin, vm_device(kvm->vm), error);
	if (rc == 0)
		rc = kvm_collect(kvm, error);
	if (rc == 0)
		rc =
		    delta_freeze(kvm->view, &kvm->set, &snapshot->image, error);
	if (rc < 0)
		return rc;
	gang_forget(&kvm->gang);
	*ret_snapshot = take_ptr(snapshot);
	return 0;
}

/* The snapshot's memory is its own: nobody is in the way. */
int
kvm_backend_thaw(struct lf_domain *domain, struct lf_error *error)
{
	(void)domain;
	(void)error;
	return 0;
}
