/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the elements of domain XML outside of <devices> mean.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "config/xml_node.h"
#include "config/xml_take.h"

int
xml_take_domain(struct xml *xml, const xmlNode *node)
{
	static const struct value_choice types[] = {
	    {"auto", LF_ACCELERATOR_AUTO}, {"kvm", LF_ACCELERATOR_KVM},
	    {"qemu", LF_ACCELERATOR_TCG}, {NULL, 0}};
	unsigned type = LF_ACCELERATOR_AUTO;
	int rc = xml_get_choice(xml, node, "type", types, &type);

	xml->config->accelerator = type;
	return rc;
}

int
xml_take_name(struct xml *xml, const xmlNode *node)
{
	cleanup_free char *text = NULL;
	int rc = xml_get_text(xml, node, &text);

	xml_note(xml, "name", 0, node);
	if (rc == 0)
		xml->config->name = take_ptr(text);
	return rc;
}

static int
take_uuid(struct xml *xml, const xmlNode *node, struct lf_uuid *ret_uuid)
{
	cleanup_free char *text = NULL;
	int rc = xml_get_text(xml, node, &text);

	if (rc == 0 && text[0] != '\0' && lf_uuid_parse(text, ret_uuid) < 0)
		return xml_fail(xml, node, "'%.60s' is not a UUID", text);
	return rc;
}

int
xml_take_uuid(struct xml *xml, const xmlNode *node)
{
	return take_uuid(xml, node, &xml->config->uuid);
}

int
xml_take_genid(struct xml *xml, const xmlNode *node)
{
	xml->config->vmgenid.present = true;
	return take_uuid(xml, node, &xml->config->vmgenid.value);
}

/* libvirt's units: KB is 1000 bytes, KiB and K are 1024. */
static int
unit_bytes(const char *unit, uint64_t *ret_bytes)
{
	static const char prefixes[] = "KMGT";
	const char *found;
	uint64_t base, bytes = 1;

	if (strcmp(unit, "b") == 0 || strcmp(unit, "bytes") == 0) {
		*ret_bytes = 1;
		return 0;
	}
	found = unit[0] == 'k' ? prefixes : strchr(prefixes, unit[0]);
	if (found == NULL || unit[0] == '\0')
		return -EINVAL;
	if (strcmp(unit + 1, "B") == 0)
		base = 1000;
	else if (unit[1] == '\0' || strcmp(unit + 1, "iB") == 0)
		base = 1024;
	else
		return -EINVAL;
	for (const char *p = prefixes; p <= found; p++)
		bytes *= base;
	*ret_bytes = bytes;
	return 0;
}

int
xml_take_memory(struct xml *xml, const xmlNode *node)
{
	cleanup_free char *unit = NULL;
	cleanup_free char *text = NULL;
	uint64_t unit_size = 1024;
	int rc;

	xml_note(xml, "memory", 0, node);
	rc = xml_get_attribute(xml, node, "unit", &unit);
	if (rc == 0)
		rc = xml_get_text(xml, node, &text);
	if (rc < 0)
		return rc;
	if (unit != NULL && unit_bytes(unit, &unit_size) < 0)
		return xml_fail(xml, node,
		    "unit '%.20s' is none of: b, KB, KiB, MB, MiB, GB, GiB, "
		    "TB, TiB",
		    unit);
	if (value_size(text, unit_size, &xml->config->memory_bytes) < 0)
		return xml_fail(xml, node, "'%.60s' is not a size", text);
	return 0;
}

int
xml_take_vcpu(struct xml *xml, const xmlNode *node)
{
	cleanup_free char *text = NULL;
	uint64_t number;
	int rc;

	xml_note(xml, "vcpus", 0, node);
	rc = xml_get_text(xml, node, &text);
	if (rc == 0 && value_number(text, UINT32_MAX, &number) < 0)
		return xml_fail(xml, node, "'%.60s' is not a number", text);
	if (rc == 0)
		xml->config->vcpus = (unsigned)number;
	return rc;
}

int
xml_take_cpu(struct xml *xml, const xmlNode *node)
{
	static const struct value_choice modes[] = {
	    {"custom", 0}, {"host-passthrough", 1}, {"maximum", 2}, {NULL, 0}};
	static const char *const models[] = {NULL, "host", "max"};
	unsigned mode = 0;
	int rc = xml_get_choice(xml, node, "mode", modes, &mode);

	xml_note(xml, "cpu", 0, node);
	if (rc < 0 || mode == 0)
		return rc;
	return lf_domain_config_set(
	    &xml->config->cpu, models[mode], xml->source.error);
}

int
xml_take_cpu_model(struct xml *xml, const xmlNode *node)
{
	cleanup_free char *text = NULL;
	int rc = xml_get_text(xml, node, &text);

	if (rc == 0) {
		free(xml->config->cpu);
		xml->config->cpu = take_ptr(text);
	}
	return rc;
}

/* QEMU's ",+NAME" or ",-NAME" after the model. */
int
xml_take_cpu_feature(struct xml *xml, const xmlNode *node)
{
	static const struct value_choice policies[] = {
	    {"require", '+'}, {"disable", '-'}, {NULL, 0}};
	cleanup_free char *feature = NULL;
	const char *model = xml->config->cpu;
	unsigned sign = '+';
	char *joined;
	size_t size;
	int rc;

	rc = xml_get_choice(xml, node, "policy", policies, &sign);
	if (rc == 0)
		rc = xml_get_attribute(xml, node, "name", &feature);
	if (rc < 0)
		return rc;
	if (model == NULL || feature == NULL || strchr(feature, ','))
		return xml_fail(xml, node, "not a feature of a CPU");
	size = strlen(model) + 2 + strlen(feature) + 1;
	joined = sys.malloc(size);
	if (joined == NULL)
		return error_nomem(xml->source.error);
	snprintf(joined, size, "%s,%c%s", model, (char)sign, feature);
	free(xml->config->cpu);
	xml->config->cpu = joined;
	return 0;
}

int
xml_take_os_type(struct xml *xml, const xmlNode *node)
{
	static const struct value_choice machines[] = {
	    {"pc", LF_MACHINE_PC}, {"q35", LF_MACHINE_Q35}, {NULL, 0}};
	cleanup_free char *text = NULL;
	unsigned machine = LF_MACHINE_PC;
	int rc = xml_get_choice(xml, node, "machine", machines, &machine);

	if (rc == 0)
		rc = xml_get_text(xml, node, &text);
	if (rc == 0 && strcmp(text, "hvm") != 0)
		return xml_fail(xml, node, "'%.60s' is not hvm", text);
	xml->config->machine = machine;
	return rc;
}

int
xml_take_loader(struct xml *xml, const xmlNode *node)
{
	static const struct value_choice types[] = {{"rom", LF_FIRMWARE_ROM},
	    {"pflash", LF_FIRMWARE_PFLASH}, {NULL, 0}};
	unsigned type = LF_FIRMWARE_DEFAULT;
	int rc = xml_get_choice(xml, node, "type", types, &type);

	xml_note(xml, "firmware", 0, node);
	if (type != LF_FIRMWARE_DEFAULT) {
		xml->has_firmware_type = true;
		xml->config->firmware.type = type;
	}
	if (rc == 0)
		rc = xml_set_text(xml, node, &xml->config->firmware.path);
	return rc;
}

int
xml_take_nvram(struct xml *xml, const xmlNode *node)
{
	xml_note(xml, "firmware", 0, node);
	return xml_set_text(xml, node, &xml->config->firmware.nvram);
}

int
xml_take_kernel(struct xml *xml, const xmlNode *node)
{
	xml_note(xml, "kernel", 0, node);
	return xml_set_text(xml, node, &xml->config->kernel);
}

int
xml_take_initrd(struct xml *xml, const xmlNode *node)
{
	xml_note(xml, "ramdisk", 0, node);
	return xml_set_text(xml, node, &xml->config->ramdisk);
}

int
xml_take_cmdline(struct xml *xml, const xmlNode *node)
{
	xml_note(xml, "cmdline", 0, node);
	return xml_set_text(xml, node, &xml->config->cmdline);
}
