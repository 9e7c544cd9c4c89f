/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Running a domain on the kvm backend: in the caller's thread, or in a thread
 * of the domain's own until something happens.
 */
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "domain/backend.h"
#include "domain/kvm.h"
#include "domain/state.h"
#include "kvm/ring.h"
#include "kvm/vcpu.h"

/* --- one round --- */

static bool
is_access(const struct lf_exit *exit)
{
	return exit->reason == LF_EXIT_IO || exit->reason == LF_EXIT_MMIO ||
	       exit->reason == LF_EXIT_MSR;
}

/* What one vCPU does in a round. */
static int
run_vcpu(void *opaque, struct vcpu *vcpu, struct lf_exit *ret_exit,
    struct lf_error *error)
{
	struct kvm_domain *kvm = opaque;

	for (;;) {
		int rc = vcpu_run(vcpu, ret_exit, error);

		if (rc != VCPU_EXIT)
			return rc;
		if (ret_exit->reason == LF_EXIT_IDLE)
			return GANG_IDLE;
		if (kvm->view->layer != NULL) {
			rc = kvm_probe_exit(kvm, vcpu, ret_exit, error);
			if (rc < 0)
				return rc;
			if (rc == KVM_PROBE_GO_ON)
				continue;
		}
		if (kvm->io_policy != LF_IO_IGNORE || !is_access(ret_exit))
			return VCPU_EXIT;
		rc = vcpu_answer_nobody(vcpu, error);
		if (rc < 0)
			return rc;
	}
}

/* Makes room in the rings so that the vCPUs can go on. */
static int
drain_rings(struct kvm_domain *kvm, struct lf_error *error)
{
	int rc = kvm_collect(kvm, error);

	if (rc < 0)
		return rc;
	rc = ring_give_back(kvm->vm, error);
	if (rc > 0)
		kvm->counters.ring_drains += (uint64_t)rc;
	return rc < 0 ? rc : 0;
}

/*
 * An access that was taken back since (somebody looked at the vCPU's registers)
 * has not happened: it will be made, and told, again.
 */
static bool
is_stale(const struct gang_member *member)
{
	return member->rc == VCPU_EXIT && is_access(&member->exit) &&
	       !vcpu_access_pending(member->vcpu);
}

/* Takes one piece of news: 1, with it in ret_exit; 0 when there is none. */
static int
take_news(
    struct kvm_domain *kvm, struct lf_exit *ret_exit, struct lf_error *error)
{
	unsigned i;

	for (i = 0; i < kvm->gang.count; i++) {
		struct gang_member *member = &kvm->gang.members[i];

		if (!member->news)
			continue;
		member->news = false;
		if (is_stale(member))
			continue;
		if (member->rc == VCPU_RING_FULL) {
			int rc = drain_rings(kvm, error);

			if (rc < 0)
				return rc;
			continue;
		}
		if (member->rc < 0) {
			if (error != NULL)
				*error = member->error;
			return member->rc;
		}
		kvm->exit_vcpu = i;
		*ret_exit = member->exit;
		return 1;
	}
	return 0;
}

static bool
all_idle(const struct kvm_domain *kvm)
{
	unsigned i;

	for (i = 0; i < kvm->gang.count; i++)
		if (kvm->gang.members[i].rc != GANG_IDLE)
			return false;
	return true;
}

/* Until something happened; sets no state. */
static int
run(struct kvm_domain *kvm, struct lf_exit *ret_exit, struct lf_error *error)
{
	for (;;) {
		int rc;

		gang_run(&kvm->gang);
		rc = take_news(kvm, ret_exit, error);
		if (rc != 0)
			return rc < 0 ? rc : 0;
		if (gang_take_stop(&kvm->gang)) {
			*ret_exit = (struct lf_exit){
			    .reason = LF_EXIT_INTERRUPTED,
			};
			return 0;
		}
		if (all_idle(kvm)) {
			*ret_exit = (struct lf_exit){.reason = LF_EXIT_IDLE};
			return 0;
		}
	}
}

/* The state that an exit leads to. */
static void
judge(struct kvm_domain *kvm, const struct lf_exit *exit)
{
	char words[160];

	switch (exit->reason) {
	case LF_EXIT_SHUTDOWN:
		domain_set_state(kvm->domain, LF_DOMAIN_CRASHED, "reset");
		break;
	case LF_EXIT_ERROR:
		lf_exit_describe(exit, words, sizeof(words));
		domain_set_state(kvm->domain, LF_DOMAIN_CRASHED, "%s", words);
		break;
	default:
		if (!is_access(exit) || kvm->io_policy != LF_IO_CRASH)
			break;
		lf_exit_describe(exit, words, sizeof(words));
		domain_set_state(kvm->domain, LF_DOMAIN_CRASHED,
		    "device access without a device model: %s", words);
		break;
	}
}

int
kvm_backend_run(
    struct lf_domain *domain, struct lf_exit *ret_exit, struct lf_error *error)
{
	struct kvm_domain *kvm = domain->impl;
	int rc = run(kvm, ret_exit, error);

	if (rc == 0)
		judge(kvm, ret_exit);
	return rc;
}

void
kvm_backend_stop(struct lf_domain *domain)
{
	struct kvm_domain *kvm = domain->impl;

	gang_stop(&kvm->gang);
}

int
kvm_backend_answer(struct lf_domain *domain, const void *data, size_t len,
    struct lf_error *error)
{
	struct kvm_domain *kvm = domain->impl;

	return vcpu_answer(vm_vcpu(kvm->vm, kvm->exit_vcpu), data, len, error);
}

/* --- in the background --- */

static void
ring_bell(struct kvm_domain *kvm)
{
	const uint64_t one = 1;
	int fd = atomic_load(&kvm->event_fd);

	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0) {
		/* Full: it is readable already. */
	}
}

static void
run_in_background(void *opaque)
{
	struct kvm_domain *kvm = opaque;

	kvm->rc = run(kvm, &kvm->exit, &kvm->error);
	atomic_store(&kvm->finished, true);
	ring_bell(kvm);
}

int
kvm_backend_unpause(struct lf_domain *domain, struct lf_error *error)
{
	struct kvm_domain *kvm = domain->impl;
	int rc;

	atomic_store(&kvm->finished, false);
	rc = worker_begin(&kvm->worker, error);
	if (rc < 0)
		return rc;
	kvm->background = true;
	return 0;
}

/* Waits for the run and sets the state that it led to. */
static void
finish_background(struct kvm_domain *kvm)
{
	char words[160] = "";

	worker_wait(&kvm->worker);
	kvm->background = false;
	if (kvm->rc < 0) {
		domain_set_state(
		    kvm->domain, LF_DOMAIN_CRASHED, "%s", kvm->error.message);
		return;
	}
	if (kvm->exit.reason != LF_EXIT_INTERRUPTED)
		lf_exit_describe(&kvm->exit, words, sizeof(words));
	domain_set_state(kvm->domain, LF_DOMAIN_PAUSED, "%s", words);
	judge(kvm, &kvm->exit);
}

int
kvm_backend_pause(struct lf_domain *domain, struct lf_error *error)
{
	struct kvm_domain *kvm = domain->impl;

	(void)error;
	if (!kvm->background)
		return 0;
	gang_stop(&kvm->gang);
	finish_background(kvm);
	/* A run that had ended by itself leaves it to the next. */
	gang_take_stop(&kvm->gang);
	return 0;
}

int
kvm_backend_event_fd(const struct lf_domain *domain)
{
	struct kvm_domain *kvm = domain->impl;

	int fd = atomic_load(&kvm->event_fd);

	if (fd >= 0)
		return fd;
	fd = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	atomic_store(&kvm->event_fd, fd);
	/* The run saw no bell when it ended, or `finished` is seen here. */
	if (kvm->background && atomic_load(&kvm->finished))
		ring_bell(kvm);
	return fd;
}

int
kvm_backend_dispatch(
    struct lf_domain *domain, struct lf_exit *ret_exit, struct lf_error *error)
{
	struct kvm_domain *kvm = domain->impl;
	int fd = atomic_load(&kvm->event_fd);
	uint64_t count;

	(void)error;
	if (fd >= 0 && read(fd, &count, sizeof(count)) < 0) {
		/* Nobody rang; `finished` is what counts. */
	}
	if (!kvm->background || !atomic_load(&kvm->finished))
		return 0;
	finish_background(kvm);
	if (kvm->rc == 0)
		*ret_exit = kvm->exit;
	return 1;
}

/* --- birth and death --- */

int
kvm_run_start(struct kvm_domain *kvm, struct lf_error *error)
{
	struct vcpu *vcpus[VM_VCPUS_MAX];
	unsigned i;

	atomic_store(&kvm->event_fd, -1);
	worker_init(&kvm->worker, run_in_background, kvm);
	for (i = 0; i < kvm->vcpu_count; i++)
		vcpus[i] = vm_vcpu(kvm->vm, i);
	return gang_init(
	    &kvm->gang, run_vcpu, kvm, vcpus, kvm->vcpu_count, error);
}

void
kvm_run_done(struct kvm_domain *kvm)
{
	if (kvm->background)
		kvm_backend_pause(kvm->domain, NULL);
	worker_done(&kvm->worker);
	gang_done(&kvm->gang);
	close_fd(atomic_exchange(&kvm->event_fd, -1));
}
