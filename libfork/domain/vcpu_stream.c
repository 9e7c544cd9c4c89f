/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vCPU states out of a snapshot's stream, and into one.
 */
#include "domain/vcpu_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/domain_config.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cpu/msr.h"
#include "domain/steal_time.h"
#include "kvm/device.h"
#include "kvm/vcpu.h"
#include "kvm/vcpu_state.h"
#include "kvm/vm.h"
#include "qemu/chip_sections.h"
#include "qemu/cpu_translate.h"
#include "qemu/cpuid_probe.h"
#include "qemu/devfile.h"
#include "qemu/devstate_write.h"
#include "qemu/domain_config_value.h"
#include "qemu/timer_section.h"

/* QEMU's own start is the most of it. */
#define PROBE_TIMEOUT_MS 30000

DEFINE_CLEANUP(struct ram_image *, ram_image_unref);

struct vcpu_import {
	struct lf_snapshot *snapshot;
	struct lf_domain_config *config;
	const struct devfile *devstate; /* the snapshot's */
	struct cpuid_probe probe;
	bool tcg;
};

static uint8_t
phys_bits_of(const struct cpu_cpuid *cpuid)
{
	const struct cpu_cpuid_entry *entry =
	    cpuid != NULL ? cpu_cpuid_find(cpuid, 0x80000008, 0) : NULL;

	return entry != NULL ? (uint8_t)entry->eax : 0;
}

/* Of a snapshot that has a configuration. */
static bool
is_tcg(const struct lf_snapshot *snapshot)
{
	const char *name = json_string_value(
	    json_object_get(snapshot->configuration, "accelerator"));

	return name != NULL &&
	       strcmp(name, lf_accelerator_name(LF_ACCELERATOR_TCG)) == 0;
}

/*
 * A KVM's guest has only what this KVM gives. A TCG's may have been told of
 * anything, and uses it.
 */
static int
check_cpu(const struct vcpu_import *import, const struct kvm_device *device,
    struct lf_error *error)
{
	int rc;

	if (!import->tcg)
		return 0;
	rc = cpu_cpuid_check_supported(
	    &import->probe.cpuid, &device->cpuid, error);
	return rc < 0 ? error_prefix(error, rc,
			    "the parent's CPU, emulated by TCG, cannot go on "
			    "in this KVM (choose its 'cpu' so that it can)")
		      : 0;
}

/*
 * The chips beside the vCPUs, for forks that get all interrupts. A machine
 * without them has nothing but LAPICs.
 */
static int
import_chips(const struct vcpu_import *import, struct lf_error *error)
{
	static const uint32_t irqchips =
	    CPU_CHIP_PIC | CPU_CHIP_IOAPIC | CPU_CHIP_PIT;
	struct lf_snapshot *snapshot = import->snapshot;
	struct cpu_chips *chips = sys.calloc(1, sizeof(*chips));
	struct qemu_chips sections;
	int rc;

	if (chips == NULL)
		return error_nomem(error);
	rc = qemu_chips_load(import->devstate->stream, &sections, error);
	if (rc < 0) {
		free(chips);
		return rc;
	}
	qemu_chips_to_state(&sections, import->tcg, chips);
	pthread_mutex_lock(&snapshot->lock);
	snapshot->irqchip = (chips->chips & irqchips) == irqchips
				? LF_IRQCHIP_FULL
				: LF_IRQCHIP_LAPIC;
	if (snapshot->chips == NULL)
		snapshot->chips = take_ptr(chips);
	pthread_mutex_unlock(&snapshot->lock);
	free(chips);
	return 0;
}

int
vcpu_import_begin(struct lf_snapshot *snapshot, const struct kvm_device *device,
    struct lf_launcher *launcher, struct vcpu_import **ret_import,
    struct lf_error *error)
{
	cleanup(vcpu_import_free_p) struct vcpu_import *import = NULL;
	int rc;

	if (snapshot->devstate_fd < 0 || snapshot->configuration == NULL)
		return error_set(error, ENOTSUP,
		    "the snapshot has neither vCPU states nor a device stream "
		    "to read them from");
	if (launcher == NULL)
		return error_set(error, EINVAL,
		    "the first fork without device model of a QEMU's snapshot "
		    "needs a launcher, for the guest that probes its CPU");
	import = sys.calloc(1, sizeof(*import));
	if (import == NULL)
		return error_nomem(error);
	import->snapshot = snapshot;
	rc = domain_config_from_value(
	    snapshot->configuration, &import->config, error);
	if (rc < 0)
		return rc;
	import->tcg = is_tcg(snapshot);
	rc = snapshot_devstate(snapshot, &import->devstate, error);
	if (rc == 0)
		rc = cpuid_known_get(snapshot->cpuid_known, launcher,
		    import->config, PROBE_TIMEOUT_MS, &import->probe, error);
	if (rc == 0)
		rc = check_cpu(import, device, error);
	if (rc < 0)
		return rc;

	rc = import_chips(import, error);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&snapshot->lock);
	if (snapshot->cpuid == NULL) {
		snapshot->cpuid = sys.malloc(sizeof(*snapshot->cpuid));
		if (snapshot->cpuid != NULL)
			*snapshot->cpuid = import->probe.cpuid;
		else
			rc = error_nomem(error);
	}
	pthread_mutex_unlock(&snapshot->lock);
	if (rc == 0)
		*ret_import = take_ptr(import);
	return rc;
}

void
vcpu_import_free(struct vcpu_import *import)
{
	if (import == NULL)
		return;
	lf_domain_config_free(import->config);
	free(import);
}

/*
 * MSRs that tell the guest about its CPU: KVM's default, or what QEMU set
 * instead. One that says something and that this KVM does not have is a
 * feature that a TCG's guest would miss.
 */
static int
set_feature_msrs(const struct vcpu_import *import, struct cpu_state *state,
    struct lf_error *error)
{
	const struct cpuid_probe *probe = &import->probe;
	uint32_t i;

	for (i = 0; i < probe->msr_count; i++) {
		const struct cpu_msr *msr = &probe->msrs[i];
		bool there;
		uint64_t here;
		int rc;

		there = cpu_state_msr(state, msr->index, &here);
		if (!there && import->tcg && msr->value != 0 &&
		    msr->index != MSR_UCODE_REV)
			return error_set(error, ENOTSUP,
			    "the parent's CPU, emulated by TCG, cannot go on "
			    "in this KVM: it has MSR 0x%x",
			    msr->index);
		if (!there || here == msr->value)
			continue;
		rc = cpu_state_set_msr(state, msr->index, msr->value, error);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* A stopped TCG keeps its TSC with its timers, and only once. */
static int
read_tcg_tsc(
    const struct stream *stream, uint64_t *ret_tsc, struct lf_error *error)
{
	struct qemu_timer timer;
	int rc = qemu_timer_load(stream, &timer, error);

	if (rc == 0)
		*ret_tsc = timer.ticks;
	return rc;
}

static int
import_one(struct vcpu_import *import, struct vcpu *vcpu, unsigned index,
    struct cpu_state **ret_state, struct lf_error *error)
{
	const struct kvm_device *device = vm_device(vcpu_vm(vcpu));
	struct qemu_vcpu *sections = sys.malloc(sizeof(*sections));
	struct cpu_state *state = vcpu_state_new(device);
	uint32_t host_khz;
	int rc;

	if (state == NULL || sections == NULL) {
		rc = error_nomem(error);
		goto out;
	}
	rc = qemu_vcpu_load(
	    import->devstate->stream, index, import->tcg, sections, error);
	if (rc == 0)
		rc = vcpu_state_get(vcpu, CPU_GROUP_ALL, state, error);
	if (rc < 0)
		goto out;
	host_khz = state->tsc.khz;
	sections->phys_bits = phys_bits_of(&import->probe.cpuid);
	rc = set_feature_msrs(import, state, error);
	if (rc == 0)
		rc = qemu_vcpu_to_state(sections, &device->cpuid, state, error);
	if (rc == 0)
		rc = cpu_tsc_check(state->tsc.khz, host_khz, error);
	if (rc == 0 && import->tcg)
		rc = read_tcg_tsc(
		    import->devstate->stream, &state->tsc.tsc, error);
	if (rc == 0)
		*ret_state = take_ptr(state);
out:
	free(sections);
	cpu_state_free(state);
	return rc < 0 ? error_prefix(error, rc, "vCPU %u", index) : 0;
}

static void
free_states(struct cpu_state **states, unsigned count)
{
	if (states == NULL)
		return;
	while (count > 0)
		cpu_state_free(states[--count]);
	free(states);
}

int
vcpu_import_finish(
    struct vcpu_import *import, const struct vm *vm, struct lf_error *error)
{
	cleanup(ram_image_unref_p) struct ram_image *image = NULL;
	struct lf_snapshot *snapshot = import->snapshot;
	struct cpu_state **states =
	    sys.calloc(snapshot->vcpu_count, sizeof(struct cpu_state *));
	unsigned i;
	int rc = 0;

	if (states == NULL)
		return error_nomem(error);
	for (i = 0; i < snapshot->vcpu_count && rc == 0; i++)
		rc = import_one(import, vm_vcpu(vm, i), i, &states[i], error);
	if (rc == 0)
		rc =
		    steal_time_clear_preempted(snapshot, states, &image, error);
	if (rc == 0)
		snapshot_add_imported(snapshot, &states, &image);
	free_states(states, snapshot->vcpu_count);
	return rc;
}

/* --- export --- */

static int
check_devices(const struct devfile *own, const struct devfile *given,
    struct lf_error *error)
{
	int rc = devfile_check(own->stream, given->stream, error);

	if (rc == 0 && given->stream->vmdesc == NULL)
		rc = error_set(error, ENOTSUP,
		    "the device state has no description of its fields: only "
		    "a full fork can be made from it (use one that "
		    "save-devstate wrote)");
	return rc;
}

/* What is in the device sections of `snapshot`, a fork of `ancestor`. */
static struct devstate_parts
find_parts(const struct lf_snapshot *snapshot,
    const struct lf_snapshot *ancestor, const struct kvm_device *device,
    const struct devfile *own, const struct devfile *given)
{
	return (struct devstate_parts){
	    .base = own->stream,
	    .devices = given != NULL ? given->stream : NULL,
	    .tcg = is_tcg(ancestor),
	    .vcpu_count = snapshot->vcpu_count,
	    .vcpus = snapshot->vcpus,
	    .chips = snapshot->chips,
	    .cpuid = &device->cpuid,
	    .phys_bits = phys_bits_of(snapshot->cpuid),
	};
}

int
vcpu_export(struct lf_snapshot *snapshot, struct lf_snapshot *ancestor,
    const struct kvm_device *device, struct lf_error *error)
{
	const struct devfile *own;
	struct devstate_parts parts;
	uint64_t len;
	int fd, rc;

	if (ancestor->devstate_fd < 0 || ancestor->configuration == NULL)
		return 0;
	rc = snapshot_devstate(ancestor, &own, error);
	if (rc < 0)
		return rc;
	parts = find_parts(snapshot, ancestor, device, own, NULL);
	rc = devstate_write(&parts, &fd, &len, error);
	if (rc < 0)
		return rc;
	close_fd(snapshot->devstate_fd);
	snapshot->devstate_fd = fd;
	snapshot->devstate_length = len;
	return 0;
}

void
vcpu_sections_done(struct vcpu_sections *sections)
{
	devfile_free(sections->given);
	devstate_sections_done(&sections->written);
	*sections = (struct vcpu_sections){0};
}

int
vcpu_sections_open(struct lf_snapshot *ancestor, int devices_fd,
    struct vcpu_sections *ret_sections, struct lf_error *error)
{
	struct vcpu_sections sections = {0};
	int rc = snapshot_devstate(ancestor, &sections.own, error);

	if (rc == 0 && devices_fd >= 0)
		rc = devfile_read(
		    devices_fd, sections.own->stream, &sections.given, error);
	if (rc == 0 && sections.given != NULL)
		rc = check_devices(sections.own, sections.given, error);
	if (rc < 0)
		vcpu_sections_done(&sections);
	else
		*ret_sections = sections;
	return rc;
}

int
vcpu_sections_write(struct vcpu_sections *sections,
    const struct lf_snapshot *states, struct lf_snapshot *ancestor,
    const struct kvm_device *device, struct lf_error *error)
{
	struct devstate_parts parts = find_parts(
	    states, ancestor, device, sections->own, sections->given);

	return devstate_sections_make(&parts, &sections->written, error);
}
