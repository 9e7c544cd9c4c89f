/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is looked for and where QEMU shows it. Huge pages are found with the
 * RAM blocks (qemu/guest_map.c), memory of host devices in the memory map
 * (qemu/mtree.c), and devices that cannot be migrated at all keep QEMU from
 * starting (-only-migratable).
 */
#include "domain/qemu_refuse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "qemu/devfile.h"

/* Bits of env.hflags (QEMU's target/i386/cpu.h). */
#define HFLAGS_SMM   (1U << 19)
#define HFLAGS_GUEST (1U << 21)

/* Memory beside the one block that is shared: DIMMs, virtio-mem, and such. */
static int
refuse_memory_devices(struct qemu_domain *domain, struct lf_error *error)
{
	cleanup(json_decrefp) json_t *devices = NULL;
	const char *type;
	int rc = qmp_execute(
	    domain->qmp, "query-memory-devices", NULL, &devices, error);

	if (rc < 0 || json_array_size(devices) == 0)
		return rc;
	type = json_string_value(
	    json_object_get(json_array_get(devices, 0), "type"));
	return error_set(error, ENOTSUP,
	    "the guest has a memory device (%s): its memory cannot be shared "
	    "with forks",
	    type != NULL ? type : "of unknown type");
}

static int
refuse_encryption(struct qemu_domain *domain, struct lf_error *error)
{
	cleanup(json_decrefp) json_t *sev = NULL;
	int rc = qmp_execute(domain->qmp, "query-sev", NULL, &sev, error);

	/* A QEMU that does not know the command encrypts nothing. */
	if (rc == -EREMOTEIO) {
		lf_error_clear(error);
		return 0;
	}
	if (rc == 0 && json_is_true(json_object_get(sev, "enabled")))
		rc = error_set(error, ENOTSUP,
		    "the guest's memory is encrypted (SEV): nobody but its CPU "
		    "can copy it");
	return rc;
}

/*
 * A device or backend whose state lies in another process or in hardware, as
 * QEMU prints it: `before` and the beginning of its name.
 */
static int
refuse_names(struct qemu_domain *domain, const char *command,
    const char *before, const char *const names[], struct lf_error *error)
{
	cleanup_free char *text = NULL;
	size_t i;
	int rc = qmp_hmp(domain->qmp, command, &text, error);

	for (i = 0; rc == 0 && names[i] != NULL; i++) {
		char word[64];

		snprintf(word, sizeof(word), "%s%s", before, names[i]);
		if (strstr(text, word) != NULL)
			rc = error_set(error, ENOTSUP,
			    "the guest has a device (%s) whose state is not "
			    "QEMU's: it cannot be forked",
			    names[i]);
	}
	return rc;
}

int
qemu_refuse_devices(struct qemu_domain *domain, struct lf_error *error)
{
	static const char *const devices[] = {
	    "vhost-user", "vhost-vsock", "vhost-scsi", "vfio-", NULL};
	static const char *const networks[] = {
	    "vhost-user", "vhost-vdpa", NULL};
	int rc = refuse_memory_devices(domain, error);

	if (rc == 0)
		rc = refuse_encryption(domain, error);
	if (rc == 0)
		rc =
		    refuse_names(domain, "info qtree", "dev: ", devices, error);
	if (rc == 0)
		rc = refuse_names(
		    domain, "info network", "type=", networks, error);
	return rc;
}

int
qemu_refuse_vcpus(const struct stream *stream, struct lf_error *error)
{
	size_t i;

	for (i = 0; i < stream->section_count; i++) {
		const struct stream_section *section = &stream->sections[i];
		uint32_t hflags;

		if (strcmp(section->name, "cpu") != 0)
			continue;
		if (devfile_get_u32(stream, section, "env.hflags", &hflags) < 0)
			return error_set(error, EBADMSG,
			    "stream: vCPU %u has no hflags",
			    section->instance_id);
		if (hflags & HFLAGS_GUEST)
			return error_set(error, ENOTSUP,
			    "vCPU %u runs a nested guest: it cannot be forked "
			    "until that is stopped",
			    section->instance_id);
		if (hflags & HFLAGS_SMM)
			return error_set(error, EAGAIN,
			    "vCPU %u is in system management mode",
			    section->instance_id);
	}
	return 0;
}
