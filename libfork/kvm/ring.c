/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dirty rings. An entry's life (Documentation/virt/kvm/api.rst, 8.29): empty,
 * dirty (KVM), reset (us), empty again after KVM_RESET_DIRTY_RINGS. The state
 * is in its flags, which are read and written with acquire and release.
 */
#include "kvm/ring.h"

#include <errno.h>

#include "base/error.h"
#include "kvm/internal.h"

/*
 * KVM makes a run exit this many entries before the ring's end; 512 earlier
 * where the hardware logs by itself (PML), which costs no more than a run that
 * ends with a full ring now and then.
 */
#define RING_RESERVED 64

size_t
ring_collect(struct vcpu *vcpu, struct ring_page *pages, size_t max)
{
	size_t count = 0;

	while (count < max &&
	       vcpu->ring_collected - vcpu->ring_given < vcpu->ring_entries) {
		struct kvm_dirty_gfn *entry =
		    &vcpu->ring[vcpu->ring_collected &
				(vcpu->ring_entries - 1)];

		if (__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) !=
		    KVM_DIRTY_GFN_F_DIRTY)
			break;
		/* The upper half of the slot is the address space (SMM). */
		pages[count].slot = entry->slot & 0xffff;
		pages[count].page = entry->offset;
		vcpu->ring_collected++;
		count++;
	}
	return count;
}

static bool
pressed(const struct vcpu *vcpu)
{
	uint32_t used = vcpu->ring_collected - vcpu->ring_given;
	uint32_t usable = vcpu->ring_entries - RING_RESERVED;

	return used != 0 && used >= usable / 4 * 3;
}

bool
ring_pressed(const struct vm *vm)
{
	unsigned i;

	for (i = 0; i < vm->vcpu_count; i++)
		if (pressed(vm->vcpu[i]))
			return true;
	return false;
}

int
ring_give_back(struct vm *vm, struct lf_error *error)
{
	unsigned i;
	int r, given = 0;

	for (i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = vm->vcpu[i];

		for (; vcpu->ring_given != vcpu->ring_collected;
		     vcpu->ring_given++, given++) {
			struct kvm_dirty_gfn *entry =
			    &vcpu->ring[vcpu->ring_given &
					(vcpu->ring_entries - 1)];

			__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET,
			    __ATOMIC_RELEASE);
		}
	}
	/* Entries of a call that failed are marked, and still to be taken. */
	vm->ring_marked += (uint32_t)given;
	if (vm->ring_marked == 0)
		return 0;
	r = vm_ioctl(vm, KVM_RESET_DIRTY_RINGS, NULL);
	if (r < 0)
		return error_sys(
		    error, -r, "KVM: cannot give back dirty ring entries");
	given = (int)vm->ring_marked;
	vm->ring_marked = 0;
	return given;
}
