/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ioctls on KVM's descriptors, counted.
 */
#include <errno.h>

#include "base/error.h"
#include "base/sys.h"
#include "kvm/internal.h"

int
kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int r;

	do {
		r = sys.ioctl(fd, request, arg);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

int
vm_ioctl(struct vm *vm, unsigned long request, void *arg)
{
	vm->ioctls++;
	return kvm_ioctl(vm->fd, request, arg);
}

int
vcpu_ioctl(struct vcpu *vcpu, unsigned long request, void *arg)
{
	vcpu->counters.ioctls++;
	return kvm_ioctl(vcpu->fd, request, arg);
}

int
vcpu_try(struct vcpu *vcpu, unsigned long request, void *arg, const char *what,
    struct lf_error *error)
{
	int r = vcpu_ioctl(vcpu, request, arg);

	if (r < 0)
		return error_sys(
		    error, -r, "vCPU %u: cannot %s", vcpu->index, what);
	return r;
}
