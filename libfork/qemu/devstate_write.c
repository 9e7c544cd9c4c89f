/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing a fork's device stream, or what is new in it. Sections follow each
 * other as in the ancestor's; a rewritten one keeps its header and footer.
 */
#include "qemu/devstate_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json_text.h"
#include "base/sys.h"
#include "base/writer.h"
#include "qemu/chip_sections.h"
#include "qemu/cpu_translate.h"
#include "qemu/timer_section.h"

struct work {
	const struct devstate_parts *parts;
	const struct stream *devices;
	struct qemu_vcpu
	    *vcpus;           /* the ancestor's, then with the fork's state */
	uint64_t *tsc_before; /* of each vCPU, at the ancestor's freeze */
	struct qemu_timer timer;
	struct qemu_chips chips; /* found: none, unless they are written */
	json_t *description;     /* NULL: only sections are wanted */
	struct writer w;
};

static int
load_vcpus(struct work *work, struct lf_error *error)
{
	const struct devstate_parts *parts = work->parts;
	unsigned i;
	int rc = 0;

	work->vcpus = sys.calloc(parts->vcpu_count, sizeof(*work->vcpus));
	work->tsc_before =
	    sys.calloc(parts->vcpu_count, sizeof(*work->tsc_before));
	if (work->vcpus == NULL || work->tsc_before == NULL)
		return error_nomem(error);
	for (i = 0; i < parts->vcpu_count && rc == 0; i++) {
		rc = qemu_vcpu_load(
		    work->devices, i, parts->tcg, &work->vcpus[i], error);
		work->tsc_before[i] = work->vcpus[i].cpu.tsc;
		work->vcpus[i].phys_bits = parts->phys_bits;
	}
	return rc;
}

/*
 * QEMU's clock goes on as the fork's TSC did, which under a TCG is QEMU's own.
 * Else the TSC would be ahead of all other clocks, and a guest that compares
 * them would take it for broken.
 */
static int
load_timer(struct work *work, struct lf_error *error)
{
	const struct cpu_tsc *fork = &work->parts->vcpus[0]->tsc;
	bool tcg = work->parts->tcg;
	int rc = qemu_timer_load(work->devices, &work->timer, error);

	if (rc == 0)
		qemu_timer_go_on(&work->timer,
		    fork->tsc - (tcg ? work->timer.ticks : work->tsc_before[0]),
		    fork->khz, tcg);
	return rc;
}

static int
change_vcpus(struct work *work, struct lf_error *error)
{
	const struct devstate_parts *parts = work->parts;
	unsigned i;
	int rc = 0;

	for (i = 0; i < parts->vcpu_count && rc == 0; i++) {
		work->vcpus[i].clock = work->timer.clock;
		rc = qemu_vcpu_from_state(
		    &work->vcpus[i], parts->cpuid, parts->vcpus[i], error);
		if (rc < 0)
			return error_prefix(error, rc, "vCPU %u", i);
	}
	return 0;
}

static int
load_chips(struct work *work, struct lf_error *error)
{
	const struct cpu_chips *chips = work->parts->chips;
	int rc;

	if (chips == NULL)
		return 0;
	rc = qemu_chips_load(work->devices, &work->chips, error);
	if (rc == 0)
		qemu_chips_from_state(&work->chips, chips, work->timer.clock);
	return rc;
}

/* --- description --- */

/* The description's object of a section. */
static json_t *
described(const struct work *work, const struct stream_section *section)
{
	json_t *devices = json_object_get(work->description, "devices");
	json_t *device;
	size_t i;

	json_array_foreach(devices, i, device)
	{
		const char *name =
		    json_string_value(json_object_get(device, "name"));

		if (name != NULL && strcmp(name, section->name) == 0 &&
		    json_integer_value(json_object_get(
			device, "instance_id")) == section->instance_id)
			return device;
	}
	return NULL;
}

/* The subsections that a section has now, where they are described. */
static int
set_subsections(const struct work *work, const struct stream_section *section,
    json_t *subsections, struct lf_error *error)
{
	json_t *device = described(work, section);

	if (subsections == NULL || device == NULL) {
		json_decref(subsections);
		return error_nomem(error);
	}
	if (json_array_size(subsections) == 0) {
		json_decref(subsections);
		json_object_del(device, "subsections");
		return 0;
	}
	return json_object_set_new(device, "subsections", subsections) < 0
		   ? error_nomem(error)
		   : 0;
}

/* --- sections --- */

static int
write_cpu(struct work *work, const struct stream_section *section,
    struct lf_error *error)
{
	const struct qemu_cpu *cpu = &work->vcpus[section->instance_id].cpu;

	qemu_cpu_save(cpu, &work->w);
	if (work->description == NULL)
		return 0;
	return set_subsections(work, section,
	    vmstate_describe(&qemu_cpu_table, &cpu->found, cpu,
		json_object_get(described(work, section), "subsections")),
	    error);
}

/*
 * The clock without "clock_is_reliable": QEMU then takes the guest's own
 * clock page and TSC for it (hw/i386/kvm/clock.c). A guest without such a page
 * gets the time that its TSC says went by.
 */
static int
write_kvmclock(struct work *work, const struct stream_section *section,
    struct lf_error *error)
{
	const struct vmdesc_node *clock = vmdesc_find(
	    section->device->nodes, section->device->node_count, "clock", -1);
	const struct qemu_cpu *cpu = &work->vcpus[0].cpu;
	uint64_t ns = 0, ticks = cpu->tsc - work->tsc_before[0];
	const uint8_t *bytes = work->devices->data + section->offset;
	unsigned i;

	if (clock == NULL || clock->offset != 0 || clock->size != 8)
		return error_set(error, ENOTSUP,
		    "section 'kvmclock' is not one that libfork knows");
	for (i = 0; i < 8; i++)
		ns = ns << 8 | bytes[i];
	if (cpu->tsc_khz > 0)
		ns += (uint64_t)((unsigned __int128)ticks * 1000000 /
				 cpu->tsc_khz);
	writer_be64(&work->w, ns);
	if (work->description == NULL)
		return 0;
	return set_subsections(work, section, json_array(), error);
}

/* Writes a section's body if the fork's state is in it; 1, or 0 if not. */
static int
write_body(struct work *work, const struct stream_section *section,
    struct lf_error *error)
{
	bool of_vcpu = section->instance_id < work->parts->vcpu_count;
	int rc = 0;

	if (of_vcpu && strcmp(section->name, "cpu") == 0)
		rc = write_cpu(work, section, error);
	else if (of_vcpu && strcmp(section->name, "cpu_common") == 0)
		qemu_cpu_common_save(
		    &work->vcpus[section->instance_id].common, &work->w);
	else if (of_vcpu && strcmp(section->name, "apic") == 0)
		qemu_apic_save(
		    &work->vcpus[section->instance_id].apic, &work->w);
	else if (strcmp(section->name, "kvmclock") == 0)
		rc = write_kvmclock(work, section, error);
	else if (strcmp(section->name, "timer") == 0)
		qemu_timer_save(&work->timer, &work->w);
	else if (!qemu_chips_save(&work->chips, section, &work->w))
		return 0;
	return rc < 0 ? rc : 1;
}

static int
write_stream(struct work *work, struct lf_error *error)
{
	const struct stream *base = work->parts->base;
	char *description;
	size_t len, i;

	writer_bytes(&work->w, base->data, base->devices);
	for (i = 0; i < work->devices->section_count; i++) {
		const struct stream_section *section =
		    &work->devices->sections[i];
		int rc;

		writer_bytes(&work->w, work->devices->data + section->start,
		    section->offset - section->start);
		rc = write_body(work, section, error);
		if (rc < 0)
			return rc;
		if (rc == 0)
			writer_bytes(&work->w,
			    work->devices->data + section->offset,
			    section->length);
		writer_u8(&work->w, STREAM_FOOTER);
		writer_be32(&work->w, section->number);
	}
	description = json_text(work->description, JSON_COMPACT, &len);
	if (description == NULL)
		return error_nomem(error);
	writer_u8(&work->w, STREAM_EOF);
	writer_u8(&work->w, STREAM_VMDESC);
	writer_be32(&work->w, (uint32_t)len);
	writer_bytes(&work->w, description, len);
	free(description);
	return writer_status(&work->w, error);
}

static int
to_memfd(const struct writer *w, int *ret_fd, struct lf_error *error)
{
	cleanup_close int fd =
	    sys.memfd_create("device state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t at = 0;

	if (fd < 0)
		return error_sys(
		    error, errno, "cannot make a file for the device state");
	while (at < w->len) {
		ssize_t n = sys.pwrite(fd, w->data + at, w->len - at, at);

		if (n < 0 && errno != EINTR)
			return error_sys(
			    error, errno, "cannot write the device state");
		at += n > 0 ? (size_t)n : 0;
	}
	if (sys.fcntl(fd, F_ADD_SEALS,
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return error_sys(error, errno, "cannot seal the device state");
	*ret_fd = take_fd(&fd);
	return 0;
}

/* What the ancestor's sections hold, with the fork's state over it. */
static int
begin(struct work *work, const struct devstate_parts *parts,
    struct lf_error *error)
{
	int rc;

	*work = (struct work){
	    .parts = parts,
	    .devices = parts->devices != NULL ? parts->devices : parts->base,
	};
	writer_init(&work->w);
	rc = load_vcpus(work, error);
	if (rc == 0)
		rc = load_timer(work, error);
	if (rc == 0)
		rc = change_vcpus(work, error);
	return rc == 0 ? load_chips(work, error) : rc;
}

static void
end(struct work *work)
{
	json_decref(work->description);
	free(work->vcpus);
	free(work->tsc_before);
	writer_done(&work->w);
}

int
devstate_write(const struct devstate_parts *parts, int *ret_fd,
    uint64_t *ret_len, struct lf_error *error)
{
	struct work work;
	int rc = begin(&work, parts, error);

	/* One whose description was lent cannot be given one that fits. */
	if (rc == 0 && work.devices->vmdesc == NULL)
		rc = error_set(error, ENOTSUP,
		    "the device state has no description of its fields");
	if (rc == 0) {
		work.description = json_deep_copy(work.devices->vmdesc->root);
		rc = work.description != NULL ? write_stream(&work, error)
					      : error_nomem(error);
	}
	if (rc == 0)
		rc = to_memfd(&work.w, ret_fd, error);
	if (rc == 0)
		*ret_len = work.w.len;
	end(&work);
	return rc;
}

/* --- sections alone --- */

void
devstate_sections_done(struct devstate_sections *sections)
{
	free(sections->overrides);
	writer_done(&sections->bytes);
	*sections = (struct devstate_sections){0};
}

static int
collect_sections(struct work *work, struct devstate_sections *sections,
    struct lf_error *error)
{
	size_t i, at = 0;
	int rc;

	sections->overrides = sys.calloc(
	    work->devices->section_count, sizeof(*sections->overrides));
	if (sections->overrides == NULL)
		return error_nomem(error);
	for (i = 0; i < work->devices->section_count; i++) {
		const struct stream_section *section =
		    &work->devices->sections[i];
		size_t before = work->w.len;

		rc = write_body(work, section, error);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		sections->overrides[sections->count++] =
		    (struct stream_override){
			.name = section->name,
			.instance_id = section->instance_id,
			.len = work->w.len - before,
		    };
	}
	rc = writer_status(&work->w, error);
	if (rc < 0)
		return rc;
	sections->bytes = work->w;
	writer_init(&work->w);
	/* Only now do the bytes stay where they are. */
	for (i = 0; i < sections->count; i++) {
		sections->overrides[i].body = sections->bytes.data + at;
		at += sections->overrides[i].len;
	}
	return 0;
}

int
devstate_sections_make(const struct devstate_parts *parts,
    struct devstate_sections *ret_sections, struct lf_error *error)
{
	struct devstate_sections sections = {0};
	struct work work;
	int rc = begin(&work, parts, error);

	if (rc == 0)
		rc = collect_sections(&work, &sections, error);
	end(&work);
	if (rc < 0)
		devstate_sections_done(&sections);
	else
		*ret_sections = sections;
	return rc;
}
