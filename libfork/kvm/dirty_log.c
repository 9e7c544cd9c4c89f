/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * KVM_GET_DIRTY_LOG (Documentation/virt/kvm/api.rst, 4.8).
 */
#include "kvm/dirty_log.h"

#include <errno.h>

#include "base/error.h"
#include "kvm/internal.h"

int
dirty_log_get(
    struct vm *vm, uint32_t slot, uint64_t *bitmap, struct lf_error *error)
{
	struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = bitmap};
	int r = vm_ioctl(vm, KVM_GET_DIRTY_LOG, &log);

	if (r < 0)
		return error_sys(
		    error, -r, "memslot %u: cannot get its dirty bitmap", slot);
	return 0;
}
