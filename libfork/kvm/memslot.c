/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memslots of a VM, and guest-physical memory through them. The table is in
 * the order in which slots came; few enough to be searched in order.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"
#include "kvm/internal.h"

static struct vm_memslot *
find_slot(struct vm *vm, uint32_t id)
{
	unsigned i;

	for (i = 0; i < vm->slot_count; i++)
		if (vm->slots[i].id == id)
			return &vm->slots[i];
	return NULL;
}

static int
reserve_slot(struct vm *vm, struct lf_error *error)
{
	unsigned room = vm->slot_room == 0 ? 4 : 2 * vm->slot_room;
	struct vm_memslot *slots;

	if (vm->slot_count < vm->slot_room)
		return 0;
	slots = sys.realloc(vm->slots, room * sizeof(*slots));
	if (slots == NULL)
		return error_nomem(error);
	vm->slots = slots;
	vm->slot_room = room;
	return 0;
}

int
vm_set_memslot(
    struct vm *vm, const struct vm_memslot *slot, struct lf_error *error)
{
	struct kvm_userspace_memory_region region = {
	    .slot = slot->id,
	    .guest_phys_addr = slot->gpa,
	    .memory_size = slot->length,
	    .userspace_addr = (uintptr_t)slot->memory,
	};
	struct vm_memslot *old = find_slot(vm, slot->id);
	int r, rc;

	if (slot->flags & VM_MEMSLOT_LOG)
		region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	if (slot->flags & VM_MEMSLOT_READONLY)
		region.flags |= KVM_MEM_READONLY;
	if (old == NULL) {
		rc = reserve_slot(vm, error);
		if (rc < 0)
			return rc;
	}
	r = vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
	if (r < 0)
		return error_sys(error, -r,
		    "memslot %u, %" PRIu64 " bytes at 0x%" PRIx64, slot->id,
		    slot->length, slot->gpa);
	if (slot->length == 0) {
		if (old != NULL)
			*old = vm->slots[--vm->slot_count];
	} else {
		if (old == NULL)
			old = &vm->slots[vm->slot_count++];
		*old = *slot;
	}
	return 0;
}

void *
vm_memory(
    const struct vm *vm, uint64_t gpa, uint64_t *ret_len, uint32_t *ret_flags)
{
	unsigned i;

	for (i = 0; i < vm->slot_count; i++) {
		const struct vm_memslot *slot = &vm->slots[i];

		if (gpa < slot->gpa || gpa - slot->gpa >= slot->length)
			continue;
		if (ret_len != NULL)
			*ret_len = slot->length - (gpa - slot->gpa);
		if (ret_flags != NULL)
			*ret_flags = slot->flags;
		return (char *)slot->memory + (gpa - slot->gpa);
	}
	return NULL;
}

/* Copies between `buf` and memory, in either direction. */
static int
copy(const struct vm *vm, uint64_t gpa, char *buf, size_t len, bool write,
    struct lf_error *error)
{
	size_t done = 0;

	while (done < len) {
		uint64_t left;
		void *memory = vm_memory(vm, gpa + done, &left, NULL);
		size_t part = len - done;

		if (memory == NULL)
			return error_set(error, EFAULT,
			    "no guest memory at 0x%" PRIx64, gpa + done);
		if (part > left)
			part = left;
		if (write)
			memcpy(memory, buf + done, part);
		else
			memcpy(buf + done, memory, part);
		done += part;
	}
	return 0;
}

int
vm_read(const struct vm *vm, uint64_t gpa, void *buf, size_t len,
    struct lf_error *error)
{
	return copy(vm, gpa, buf, len, false, error);
}

int
vm_write(struct vm *vm, uint64_t gpa, const void *buf, size_t len,
    struct lf_error *error)
{
	return copy(vm, gpa, (char *)buf, len, true, error);
}
