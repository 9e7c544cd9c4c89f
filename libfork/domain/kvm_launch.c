/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Launching a device model late: a domain that ran on the kvm backend goes on
 * under a QEMU, which is started from the fork's origin as for any other fork
 * and sent what the fork is now: its vCPUs, its chips, and the pages that are
 * not the origin's. Until QEMU has taken all of that, the fork is as it was.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "domain/backend.h"
#include "domain/kvm.h"
#include "domain/qemu_domain.h"
#include "domain/vcpu_stream.h"
#include "domain/worker.h"
#include "kvm/vcpu.h"
#include "memory/delta.h"
#include "qemu/devfile.h"
#include "snapshot/snapshot.h"

DEFINE_CLEANUP(struct lf_snapshot *, lf_snapshot_unref);

struct launch {
	struct lf_domain *domain;
	struct vcpu_sections sections;
	struct ram_run *runs; /* owned */
	struct worker *past;  /* owned; frees what the domain was; NULL: none */
};

/* The vCPUs stand between two instructions: memory does not change any more. */
static int
settle(struct kvm_domain *kvm, struct lf_error *error)
{
	unsigned i;
	int rc = 0;

	for (i = 0; i < kvm->vcpu_count && rc == 0; i++)
		rc = vcpu_settle(vm_vcpu(kvm->vm, i), error);
	return rc == 0 ? kvm_collect(kvm, error) : rc;
}

static int
write_states(void *opaque, const struct stream_override **ret,
    size_t *ret_count, struct lf_error *error)
{
	cleanup(lf_snapshot_unref_p) struct lf_snapshot *states = NULL;
	struct launch *launch = opaque;
	struct lf_domain *domain = launch->domain;
	struct kvm_domain *kvm = domain->impl;
	int rc;

	rc = kvm_save_states(domain, &states, error);
	if (rc == 0)
		rc = vcpu_sections_write(&launch->sections, states,
		    domain->origin, vm_device(kvm->vm), error);
	*ret = launch->sections.written.overrides;
	*ret_count = launch->sections.written.count;
	return rc;
}

/* --- the end of what it was --- */

static void
free_past(void *opaque)
{
	kvm_domain_free(opaque);
}

/* A thread that has it to do, and comes up while QEMU is at work. */
static void
prepare_aside(void *opaque)
{
	struct launch *launch = opaque;

	launch->past = sys.malloc(sizeof(*launch->past));
	if (launch->past != NULL)
		worker_init(launch->past, free_past, launch->domain->impl);
	if (launch->past != NULL && worker_start(launch->past, NULL) < 0)
		worker_free(take_ptr(launch->past));
}

/*
 * The end of a VM and its mappings takes as long as all the rest of a launch
 * into a QEMU that waits: nobody has to wait for it.
 */
static void
free_aside(struct launch *launch, struct qemu_domain *qemu)
{
	qemu->past = take_ptr(launch->past);
	if (qemu->past != NULL)
		worker_begin_last(qemu->past);
	else
		kvm_domain_free(launch->domain->impl);
}

static void
launch_done(struct launch *launch)
{
	worker_free(launch->past);
	vcpu_sections_done(&launch->sections);
	free(launch->runs);
}

int
kvm_backend_launch(struct lf_domain *domain,
    const struct lf_launch_options *options, struct lf_error *error)
{
	cleanup(launch_done) struct launch launch = {.domain = domain};
	struct kvm_domain *kvm = domain->impl;
	struct qemu_now now = {
	    .view = kvm->view,
	    .states = write_states,
	    .sent = prepare_aside,
	    .opaque = &launch,
	};
	struct qemu_start start = {
	    .launcher = options->launcher,
	    .config = options->config,
	    .name = domain->name,
	    .devstate_fd = -1,
	    .pool = options->dm_pool,
	    .now = &now,
	};
	struct qemu_domain *qemu;
	int rc;

	rc = kvm_check_launchable(domain, error);
	if (rc == 0)
		rc = vcpu_sections_open(domain->origin, options->devstate_fd,
		    &launch.sections, error);
	if (rc == 0)
		rc = settle(kvm, error);
	if (rc == 0)
		rc = delta_find(
		    kvm->view, &kvm->set, &launch.runs, &now.run_count, error);
	if (rc < 0)
		return rc;
	now.base = launch.sections.own->stream;
	if (launch.sections.given != NULL)
		now.devices = launch.sections.given->stream;
	now.runs = launch.runs;
	rc = qemu_start(domain->origin, &start, &qemu, error);
	if (rc < 0)
		return rc;
	kvm_run_done(kvm);
	free_aside(&launch, qemu);
	domain->impl = qemu;
	domain->backend = &domain_backend_qemu;
	return 0;
}
