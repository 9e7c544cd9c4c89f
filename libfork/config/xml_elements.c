/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The elements of domain XML, in one table: where each stands, which
 * attributes it has, and who takes it into the configuration.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/xml_node.h"
#include "config/xml_take.h"

/* More than any element that is known has. */
#define PATH_LEN_MAX 96

/*
 * Every element that is known, by its path; `q:` is QEMU's namespace. An
 * element is taken before those in it. Attributes are words "NAME" (any
 * value) or "NAME=VALUE|VALUE", one that has to be there with '!' before it.
 */
static const struct element {
	const char *path;
	const char *attributes;
	int (*take)(struct xml *xml, const xmlNode *node);
	bool many; /* may be there more than once */
} elements[] = {
    {"/domain", "type=auto|kvm|qemu", xml_take_domain, false},
    {"/domain/name", "", xml_take_name, false},
    {"/domain/uuid", "", xml_take_uuid, false},
    {"/domain/genid", "", xml_take_genid, false},
    {"/domain/memory", "unit", xml_take_memory, false},
    {"/domain/vcpu", "placement=static", xml_take_vcpu, false},
    {"/domain/cpu", "mode=custom|host-passthrough|maximum", xml_take_cpu,
	false},
    {"/domain/cpu/model", "", xml_take_cpu_model, false},
    {"/domain/cpu/feature", "!policy=require|disable !name",
	xml_take_cpu_feature, true},
    {"/domain/os", "", NULL, false},
    {"/domain/os/type", "arch=x86_64 machine=pc|q35", xml_take_os_type, false},
    {"/domain/os/loader", "readonly=yes type=rom|pflash", xml_take_loader,
	false},
    {"/domain/os/nvram", "", xml_take_nvram, false},
    {"/domain/os/kernel", "", xml_take_kernel, false},
    {"/domain/os/initrd", "", xml_take_initrd, false},
    {"/domain/os/cmdline", "", xml_take_cmdline, false},
    {"/domain/devices", "", NULL, false},
    {"/domain/devices/disk", "type=file|block device=disk", xml_take_disk,
	true},
    {"/domain/devices/disk/driver", "name=qemu type=raw|qcow2",
	xml_take_disk_driver, false},
    {"/domain/devices/disk/source", "file dev", xml_take_disk_source, false},
    {"/domain/devices/disk/target", "!dev bus=virtio", xml_take_disk_target,
	false},
    {"/domain/devices/disk/readonly", "", xml_take_disk_readonly, false},
    {"/domain/devices/interface", "!type=user|ethernet", xml_take_interface,
	true},
    {"/domain/devices/interface/mac", "!address", xml_take_interface_mac,
	false},
    {"/domain/devices/interface/model", "!type=virtio", NULL, false},
    {"/domain/devices/interface/backend", "!restrict=yes|no",
	xml_take_interface_backend, false},
    {"/domain/devices/interface/target", "!dev managed=no",
	xml_take_interface_target, false},
    {"/domain/devices/interface/portForward", "!proto=tcp|udp address",
	xml_take_port_forward, true},
    {"/domain/devices/interface/portForward/range", "!start to",
	xml_take_port_forward_range, true},
    {"/domain/devices/serial", "!type=null|pty|file|unix", xml_take_serial,
	false},
    {"/domain/devices/serial/source", "!path mode=bind", xml_take_serial_source,
	false},
    {"/domain/devices/serial/target", "!port=0", NULL, false},
    {"/domain/devices/graphics", "!type=vnc socket listen port",
	xml_take_graphics, false},
    {"/domain/devices/video", "", NULL, false},
    {"/domain/devices/video/model", "!type=vga|none", xml_take_video_model,
	false},
    {"/domain/devices/rng", "!model=virtio", xml_take_rng, false},
    {"/domain/devices/rng/backend", "!model=builtin", NULL, false},
    {"/domain/q:commandline", "", NULL, false},
    {"/domain/q:commandline/q:arg", "!value", xml_take_qemu_arg, true},
};

/* The path of `node`, given that of its parent, in `buf`. */
static void
make_path(const char *up, const xmlNode *node, char buf[PATH_LEN_MAX])
{
	const char *space = "";

	if (node->ns != NULL)
		space = strcmp((const char *)node->ns->href,
			    XML_QEMU_NAMESPACE) == 0
			    ? "q:"
			    : "?:";
	snprintf(buf, PATH_LEN_MAX, "%s/%s%.40s", up, space,
	    (const char *)node->name);
}

static const struct element *
find_element(const char *path)
{
	for (size_t i = 0; i < sizeof(elements) / sizeof(elements[0]); i++)
		if (strcmp(elements[i].path, path) == 0)
			return &elements[i];
	return NULL;
}

/*
 * The next word of an element's attributes: its name's length, and in `*values`
 * the values it may have, values_len long, 0 when it may have any.
 */
struct attribute {
	const char *name;
	size_t name_len;
	const char *values;
	size_t values_len;
	bool required;
};

static bool
next_attribute(const char **list, struct attribute *ret_attribute)
{
	struct attribute *a = ret_attribute;
	size_t len;

	*list += strspn(*list, " ");
	len = strcspn(*list, " ");
	if (len == 0)
		return false;
	a->required = **list == '!';
	a->name = *list + a->required;
	a->name_len = strcspn(a->name, "= ");
	*list += len;
	a->values = a->name + a->name_len;
	if (*a->values == '=')
		a->values++;
	a->values_len = (size_t)(*list - a->values);
	return true;
}

static bool
find_attribute(const struct element *element, const xmlChar *attribute_name,
    struct attribute *ret_attribute)
{
	const char *wanted = (const char *)attribute_name;
	const char *list = element->attributes;

	while (next_attribute(&list, ret_attribute))
		if (strlen(wanted) == ret_attribute->name_len &&
		    memcmp(wanted, ret_attribute->name,
			ret_attribute->name_len) == 0)
			return true;
	return false;
}

/* The names that are not known: the first one's line, and a list of all. */
struct unknown {
	unsigned line;
	char list[512];
};

__attribute__((format(printf, 3, 4))) static void
add_unknown(
    struct unknown *unknown, const xmlNode *node, const char *format, ...)
{
	size_t used = strlen(unknown->list);
	char what[128];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (used == 0) {
		unknown->line = xml_line(node);
		snprintf(
		    unknown->list, sizeof(unknown->list), "unknown %s", what);
	} else {
		snprintf(unknown->list + used, sizeof(unknown->list) - used,
		    "; unknown %s in line %u", what, xml_line(node));
	}
}

static void
find_unknown(struct unknown *unknown, const char *up, const xmlNode *node)
{
	char path[PATH_LEN_MAX];
	const struct element *element;
	struct attribute attribute;

	make_path(up, node, path);
	element = find_element(path);
	if (element == NULL) {
		bool prefix = node->ns != NULL && node->ns->prefix != NULL;

		add_unknown(unknown, node, "element <%.20s%s%.40s>",
		    prefix ? (const char *)node->ns->prefix : "",
		    prefix ? ":" : "", (const char *)node->name);
		return;
	}
	for (const xmlAttr *a = node->properties; a != NULL; a = a->next)
		if (a->ns != NULL ||
		    !find_attribute(element, a->name, &attribute))
			add_unknown(unknown, node,
			    "attribute '%.40s' of <%.40s>",
			    (const char *)a->name, (const char *)node->name);
	for (const xmlNode *n = node->children; n != NULL; n = n->next)
		if (n->type == XML_ELEMENT_NODE)
			find_unknown(unknown, path, n);
}

/* Whether `value` is one of "VALUE|VALUE". */
static bool
is_value(const struct attribute *attribute, const char *value)
{
	const char *at = attribute->values;
	const char *end = at + attribute->values_len;

	while (at < end) {
		size_t len = strcspn(at, "| ");

		if (strlen(value) == len && memcmp(value, at, len) == 0)
			return true;
		at += len + 1;
	}
	return false;
}

static int
wrong_value(struct xml *xml, const xmlNode *node,
    const struct attribute *attribute, const char *value)
{
	char list[64];

	snprintf(list, sizeof(list), "%.*s", (int)attribute->values_len,
	    attribute->values);
	for (char *bar = list; (bar = strchr(bar, '|')) != NULL;)
		*bar = ',';
	return xml_fail(xml, node, "%.*s '%.60s' is none of: %s",
	    (int)attribute->name_len, attribute->name, value, list);
}

static int
check_attributes(
    struct xml *xml, const struct element *element, const xmlNode *node)
{
	const char *list = element->attributes;
	struct attribute a;

	while (next_attribute(&list, &a)) {
		cleanup_free char *value = NULL;
		char attribute_name[32];
		int rc;

		snprintf(attribute_name, sizeof(attribute_name), "%.*s",
		    (int)a.name_len, a.name);
		rc = xml_get_attribute(xml, node, attribute_name, &value);
		if (rc < 0)
			return rc;
		if (value == NULL && a.required)
			return xml_fail(xml, node, "attribute '%s' is missing",
			    attribute_name);
		if (value != NULL && a.values_len > 0 && !is_value(&a, value))
			return wrong_value(xml, node, &a, value);
	}
	return 0;
}

/* Whether an element of this name stands before `node` in its parent. */
static bool
is_repeated(const xmlNode *node)
{
	for (const xmlNode *n = node->prev; n != NULL; n = n->prev)
		if (n->type == XML_ELEMENT_NODE && n->ns == node->ns &&
		    xmlStrEqual(n->name, node->name))
			return true;
	return false;
}

static int
check_node(struct xml *xml, const char *up, const xmlNode *node)
{
	char path[PATH_LEN_MAX];
	const struct element *element;
	int rc;

	make_path(up, node, path);
	element = find_element(path);
	if (element == NULL)
		return xml_fail(xml, node, "unknown element");
	if (!element->many && is_repeated(node))
		return xml_fail(xml, node, "given twice");
	rc = check_attributes(xml, element, node);
	for (const xmlNode *n = node->children; rc == 0 && n != NULL;
	     n = n->next)
		if (n->type == XML_ELEMENT_NODE)
			rc = check_node(xml, path, n);
	return rc;
}

int
xml_check_names(struct xml *xml, const xmlNode *root)
{
	struct unknown unknown = {0};

	find_unknown(&unknown, "", root);
	if (unknown.list[0] != '\0')
		return source_fail(
		    &xml->source, unknown.line, 0, NULL, "%s", unknown.list);
	return check_node(xml, "", root);
}

static int
take_node(struct xml *xml, const char *up, const xmlNode *node)
{
	char path[PATH_LEN_MAX];
	const struct element *element;
	int rc = 0;

	make_path(up, node, path);
	element = find_element(path);
	if (element != NULL && element->take != NULL)
		rc = element->take(xml, node);
	for (const xmlNode *n = node->children; rc == 0 && n != NULL;
	     n = n->next)
		if (n->type == XML_ELEMENT_NODE)
			rc = take_node(xml, path, n);
	return rc;
}

int
xml_take(struct xml *xml, const xmlNode *root)
{
	return take_node(xml, "", root);
}
