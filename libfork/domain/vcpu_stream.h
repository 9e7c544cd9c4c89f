/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the two backends' pictures of a vCPU meet: a snapshot that QEMU made
 * has its vCPUs in the device stream, one that the kvm backend made has them
 * as states. Importing reads them out of the stream so that the kvm backend
 * can run them; exporting writes them back, so that QEMU can go on.
 */
#ifndef DOMAIN_VCPU_STREAM_H
#define DOMAIN_VCPU_STREAM_H

#include <libfork/error.h>
#include <libfork/launcher.h>

#include "base/cleanup.h"
#include "qemu/devstate_write.h"
#include "snapshot/snapshot.h"

struct devfile;
struct kvm_device;
struct vcpu_import;
struct vm;

/*
 * Begins to import a snapshot without vCPU states: reads its stream, asks a
 * probe guest what CPU its guests see, and sets the snapshot's CPUID and
 * irqchip, which a VM shell for it needs. -ENOTSUP with the reason for a
 * parent that this KVM cannot go on with.
 */
int vcpu_import_begin(struct lf_snapshot *snapshot,
    const struct kvm_device *device, struct lf_launcher *launcher,
    struct vcpu_import **ret_import, struct lf_error *error);

/*
 * Gives the snapshot its vCPU states. `vm` is a fresh shell of its kind: what
 * the stream does not carry is as there.
 */
int vcpu_import_finish(
    struct vcpu_import *import, const struct vm *vm, struct lf_error *error);

void vcpu_import_free(struct vcpu_import *import);
DEFINE_CLEANUP(struct vcpu_import *, vcpu_import_free);

/*
 * Gives `snapshot`, which has vCPU states, a device stream of its own: that of
 * `ancestor` with those states. Nothing happens when the ancestor has none.
 */
int vcpu_export(struct lf_snapshot *snapshot, struct lf_snapshot *ancestor,
    const struct kvm_device *device, struct lf_error *error);

/*
 * What a QEMU that goes on for a fork is sent: its ancestor's stream, or the
 * device sections of another one of the ancestor's instant, and in place of
 * some sections what is written from the fork's states.
 */
struct vcpu_sections {
	const struct devfile *own;        /* the ancestor's */
	struct devfile *given;            /* NULL */
	struct devstate_sections written; /* none yet */
};

/* Reads the streams; `devices_fd` -1: the ancestor's own devices. */
int vcpu_sections_open(struct lf_snapshot *ancestor, int devices_fd,
    struct vcpu_sections *ret_sections, struct lf_error *error);
void vcpu_sections_done(struct vcpu_sections *sections);

/* Writes what is in `states`, a snapshot for its vCPUs and chips only. */
int vcpu_sections_write(struct vcpu_sections *sections,
    const struct lf_snapshot *states, struct lf_snapshot *ancestor,
    const struct kvm_device *device, struct lf_error *error);

#endif
