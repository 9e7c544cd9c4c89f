/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kvm backend: a domain whose vCPUs this process runs itself, without a
 * device model. This file looks inside it, and has the table of what the
 * backend can do.
 */
#include "domain/kvm.h"

#include "base/error.h"
#include "domain/backend.h"
#include "kvm/vcpu.h"
#include "snapshot/regs.h"

static void
backend_free(struct lf_domain *domain)
{
	kvm_domain_free(domain->impl);
}

/* --- looking inside --- */

static int
backend_memory_read(struct lf_domain *domain, uint64_t gpa, void *buf,
    size_t len, struct lf_error *error)
{
	const struct kvm_domain *kvm = domain->impl;
	int rc = memory_view_check(kvm->view, gpa, len, error);

	if (rc == 0)
		memory_view_read(kvm->view, gpa, buf, len);
	return rc;
}

static int
backend_memory_write(struct lf_domain *domain, uint64_t gpa, const void *bytes,
    size_t len, struct lf_error *error)
{
	struct kvm_domain *kvm = domain->impl;
	int rc = memory_view_check(kvm->view, gpa, len, error);

	return rc == 0 ? dirty_set_write(&kvm->set, gpa, bytes, len, error)
		       : rc;
}

static int
find_vcpu(const struct kvm_domain *kvm, unsigned index, struct vcpu **ret_vcpu,
    struct lf_error *error)
{
	if (index >= kvm->vcpu_count)
		return error_set(error, EINVAL,
		    "there is no vCPU %u, the domain has %u", index,
		    kvm->vcpu_count);
	*ret_vcpu = vm_vcpu(kvm->vm, index);
	return 0;
}

static int
backend_read_regs(struct lf_domain *domain, unsigned index,
    struct lf_vcpu_regs *ret_regs, struct lf_error *error)
{
	struct vcpu *vcpu = NULL;
	struct cpu_regs regs;
	struct cpu_sregs sregs;
	int rc = find_vcpu(domain->impl, index, &vcpu, error);

	if (rc == 0)
		rc = vcpu_get_regs(vcpu, &regs, error);
	if (rc == 0)
		rc = vcpu_get_sregs(vcpu, &sregs, error);
	if (rc == 0)
		regs_from_state(&regs, &sregs, ret_regs);
	return rc;
}

static int
backend_write_regs(struct lf_domain *domain, unsigned index,
    const struct lf_vcpu_regs *from, struct lf_error *error)
{
	struct vcpu *vcpu = NULL;
	struct cpu_regs regs;
	struct cpu_sregs sregs;
	int rc = find_vcpu(domain->impl, index, &vcpu, error);

	if (rc < 0)
		return rc;
	regs_to_state(from, &regs, &sregs);
	rc = vcpu_set_regs(vcpu, &regs, error);
	return rc == 0 ? vcpu_set_sregs(vcpu, &sregs, error) : rc;
}

static int
count_page(void *opaque, uint64_t page, struct lf_error *error)
{
	(void)page;
	(void)error;
	++*(uint64_t *)opaque;
	return 0;
}

static int
backend_own_pages(
    struct lf_domain *domain, uint64_t *ret_pages, struct lf_error *error)
{
	const struct kvm_domain *kvm = domain->impl;

	*ret_pages = 0;
	return memory_view_private_pages(
	    kvm->view, count_page, ret_pages, error);
}

static void
backend_counters(
    const struct lf_domain *domain, struct lf_counters *ret_counters)
{
	const struct kvm_domain *kvm = domain->impl;
	unsigned i;

	*ret_counters = kvm->counters;
	ret_counters->pages_restored = kvm->set.restored;
	ret_counters->pages_unchanged = kvm->set.unchanged;
	ret_counters->pages_dropped = kvm->set.dropped;
	ret_counters->set_pages = kvm->set.count;
	for (i = 0; i < kvm->vcpu_count; i++)
		ret_counters->runs += vcpu_counters(vm_vcpu(kvm->vm, i))->runs;
	ret_counters->ioctls = vm_ioctls(kvm->vm) - ret_counters->runs;
}

const struct domain_backend domain_backend_kvm = {
    .id = LF_BACKEND_KVM,
    .name = "kvm",
    .fork = kvm_backend_fork,
    .free = backend_free,
    .freeze = kvm_backend_freeze,
    .thaw = kvm_backend_thaw,
    .pause = kvm_backend_pause,
    .unpause = kvm_backend_unpause,
    .launch = kvm_backend_launch,
    .reset = kvm_backend_reset,
    .verify = kvm_backend_verify,
    .run = kvm_backend_run,
    .stop = kvm_backend_stop,
    .answer = kvm_backend_answer,
    .memory_read = backend_memory_read,
    .memory_write = backend_memory_write,
    .read_regs = backend_read_regs,
    .write_regs = backend_write_regs,
    .get_image = kvm_backend_get_image,
    .set_layer = kvm_backend_set_layer,
    .find_place = kvm_backend_find_place,
    .patch = kvm_backend_patch,
    .counters = backend_counters,
    .own_pages = backend_own_pages,
    .event_fd = kvm_backend_event_fd,
    .dispatch = kvm_backend_dispatch,
};
