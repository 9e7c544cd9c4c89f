/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The insides of a domain on the kvm backend, shared by its files: kvm.c
 * (looking inside), kvm_make.c (birth and death), kvm_run.c (running),
 * kvm_reset.c (reset, verification, freeze), kvm_probe.c (memory as probes see
 * it), kvm_launch.c (going over to QEMU).
 */
#ifndef DOMAIN_KVM_H
#define DOMAIN_KVM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <libfork/domain.h>

#include "cpu/chips.h"
#include "cpu/state.h"
#include "domain/backend.h"
#include "domain/gang.h"
#include "domain/worker.h"
#include "kvm/vm.h"
#include "memory/dirty_set.h"
#include "memory/view.h"

/* Ring entries of a domain that asks for nothing else: 16 KiB a vCPU. */
#define KVM_RING_ENTRIES_DEFAULT 1024

struct kvm_domain {
	struct lf_domain *domain;
	struct memory_view *view;
	struct dirty_set set;
	struct vm *vm;
	unsigned vcpu_count;

	/* What a reset goes back to: the snapshot's, complete. */
	struct cpu_state *const *wanted;
	uint32_t groups;        /* CPU_GROUP_x that a reset brings back */
	uint32_t chip_mask;     /* CPU_CHIP_x that this fork has inside KVM */
	struct cpu_chips chips; /* the snapshot's */
	bool reset_chips;
	bool reset_memory;
	enum lf_reset_method method;
	unsigned verify_every;
	/* Method bitmap: room for the largest slot's, and whose is in it. */
	uint64_t *bitmap;
	size_t bitmap_range;

	enum lf_io_policy io_policy;
	struct gang gang;
	unsigned exit_vcpu; /* the vCPU of the last exit */

	/* Running in the background (kvm_run.c). */
	bool background;
	struct worker worker;
	atomic_int event_fd; /* -1 until somebody asks for it */
	atomic_bool finished;
	struct lf_exit exit;
	struct lf_error error;
	int rc;

	struct lf_counters counters; /* what is counted here */
};

/* kvm_make.c */
int kvm_backend_fork(struct lf_domain *domain,
    const struct lf_fork_options *options, struct lf_error *error);
void kvm_domain_free(struct kvm_domain *kvm);
/* -ENOTSUP: no QEMU made the snapshot. */
int kvm_check_launchable(
    const struct lf_domain *domain, struct lf_error *error);

/* kvm_run.c */
int kvm_run_start(struct kvm_domain *kvm, struct lf_error *error);
void kvm_run_done(struct kvm_domain *kvm);
int kvm_backend_run(
    struct lf_domain *domain, struct lf_exit *ret_exit, struct lf_error *error);
void kvm_backend_stop(struct lf_domain *domain);
int kvm_backend_answer(struct lf_domain *domain, const void *data, size_t len,
    struct lf_error *error);
int kvm_backend_pause(struct lf_domain *domain, struct lf_error *error);
int kvm_backend_unpause(struct lf_domain *domain, struct lf_error *error);
int kvm_backend_event_fd(const struct lf_domain *domain);
int kvm_backend_dispatch(
    struct lf_domain *domain, struct lf_exit *ret_exit, struct lf_error *error);

/* kvm_reset.c */
/* Takes what the kernel reports as written into the dirty set. */
int kvm_collect(struct kvm_domain *kvm, struct lf_error *error);
uint32_t kvm_reset_groups(unsigned reset_groups);
int kvm_backend_reset(struct lf_domain *domain, struct lf_error *error);
int kvm_backend_verify(struct lf_domain *domain, struct lf_error *error);
int kvm_backend_freeze(struct lf_domain *domain,
    struct lf_snapshot **ret_snapshot, struct lf_error *error);
/*
 * The vCPUs and chips of the stopped domain, in a snapshot that has no memory
 * and its origin's device stream.
 */
int kvm_save_states(struct lf_domain *domain, struct lf_snapshot **ret_snapshot,
    struct lf_error *error);
int kvm_backend_thaw(struct lf_domain *domain, struct lf_error *error);

/* kvm_probe.c */
/*
 * If an exit is a probe's, says so in it. KVM_PROBE_GO_ON: it was the guest's
 * own breakpoint, which the next run delivers.
 */
#define KVM_PROBE_GO_ON 1
int kvm_probe_exit(struct kvm_domain *kvm, struct vcpu *vcpu,
    struct lf_exit *exit, struct lf_error *error);
int kvm_backend_get_image(struct lf_domain *domain,
    struct ram_image **ret_image, struct lf_error *error);
int kvm_backend_set_layer(
    struct lf_domain *domain, struct layer *layer, struct lf_error *error);
int kvm_backend_find_place(struct lf_domain *domain, uint64_t gpa,
    uint32_t *ret_file, uint64_t *ret_offset, struct lf_error *error);
int kvm_backend_patch(struct lf_domain *domain, uint32_t patch,
    enum domain_patch how, struct lf_error *error);

/* kvm_launch.c */
int kvm_backend_launch(struct lf_domain *domain,
    const struct lf_launch_options *options, struct lf_error *error);

#endif
