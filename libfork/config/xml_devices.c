/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the elements of <devices>, and QEMU's own arguments, mean.
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

/* An element too many for a list of the configuration. */
static int
list_error(struct xml *xml, const xmlNode *node, const struct lf_error *inner)
{
	if (inner->code == -ENOMEM)
		return error_nomem(xml->source.error);
	return xml_fail(xml, node, "%s", inner->message);
}

int
xml_take_disk(struct xml *xml, const xmlNode *node)
{
	struct lf_error inner;

	xml_note(xml, "disks", xml->config->disk_count, node);
	if (lf_domain_config_add_disk(xml->config, &xml->disk, &inner) < 0)
		return list_error(xml, node, &inner);
	return 0;
}

int
xml_take_disk_driver(struct xml *xml, const xmlNode *node)
{
	static const struct value_choice formats[] = {
	    {"raw", LF_DISK_RAW}, {"qcow2", LF_DISK_QCOW2}, {NULL, 0}};
	unsigned format = LF_DISK_RAW;
	int rc = xml_get_choice(xml, node, "type", formats, &format);

	xml->disk->format = format;
	return rc;
}

int
xml_take_disk_source(struct xml *xml, const xmlNode *node)
{
	int rc = xml_set_attribute(xml, node, "file", &xml->disk->path);

	if (rc == 0)
		rc = xml_set_attribute(xml, node, "dev", &xml->disk->path);
	return rc;
}

int
xml_take_disk_target(struct xml *xml, const xmlNode *node)
{
	return xml_set_attribute(xml, node, "dev", &xml->disk->device);
}

int
xml_take_disk_readonly(struct xml *xml, const xmlNode *node)
{
	(void)node;
	xml->disk->read_only = true;
	return 0;
}

int
xml_take_interface(struct xml *xml, const xmlNode *node)
{
	static const struct value_choice types[] = {
	    {"user", LF_NETWORK_USER}, {"ethernet", LF_NETWORK_TAP}, {NULL, 0}};
	unsigned type = LF_NETWORK_USER;
	struct lf_error inner;
	int rc;

	xml_note(xml, "networks", xml->config->network_count, node);
	if (lf_domain_config_add_network(xml->config, &xml->network, &inner) <
	    0)
		return list_error(xml, node, &inner);
	rc = xml_get_choice(xml, node, "type", types, &type);
	xml->network->type = type;
	return rc;
}

int
xml_take_interface_mac(struct xml *xml, const xmlNode *node)
{
	cleanup_free char *address = NULL;
	int rc = xml_get_attribute(xml, node, "address", &address);

	if (rc == 0 && lf_mac_parse(address, &xml->network->mac) < 0)
		return xml_fail(
		    xml, node, "'%.60s' is not a MAC address", address);
	return rc;
}

int
xml_take_interface_backend(struct xml *xml, const xmlNode *node)
{
	static const struct value_choice words[] = {
	    {"no", false}, {"yes", true}, {NULL, 0}};
	unsigned restrict_guest = false;
	int rc = xml_get_choice(xml, node, "restrict", words, &restrict_guest);

	xml->network->restrict_guest = restrict_guest != 0;
	return rc;
}

int
xml_take_interface_target(struct xml *xml, const xmlNode *node)
{
	return xml_set_attribute(xml, node, "dev", &xml->network->interface);
}

int
xml_take_port_forward(struct xml *xml, const xmlNode *node)
{
	static const struct value_choice protocols[] = {
	    {"tcp", LF_PROTOCOL_TCP}, {"udp", LF_PROTOCOL_UDP}, {NULL, 0}};
	unsigned protocol = LF_PROTOCOL_TCP;
	int rc = xml_get_choice(xml, node, "proto", protocols, &protocol);

	xml->forward.protocol = protocol;
	return rc;
}

/* `start` on the host leads to `to` in the guest; `to` alone may be absent. */
int
xml_take_port_forward_range(struct xml *xml, const xmlNode *node)
{
	struct lf_forward *forward = NULL;
	struct lf_error inner;
	uint16_t start = 0, to = 0;
	bool has_start, has_to;
	int rc;

	rc = xml_get_port(xml, node, "start", &has_start, &start);
	if (rc == 0)
		rc = xml_get_port(xml, node, "to", &has_to, &to);
	if (rc < 0)
		return rc;
	if (lf_network_add_forward(xml->network, &forward, &inner) < 0)
		return list_error(xml, node, &inner);
	forward->protocol = xml->forward.protocol;
	forward->host_port = start;
	forward->guest_port = has_to ? to : start;
	return xml_set_attribute(
	    xml, node->parent, "address", &forward->address);
}

int
xml_take_serial(struct xml *xml, const xmlNode *node)
{
	static const struct value_choice types[] = {{"null", LF_SERIAL_NONE},
	    {"pty", LF_SERIAL_PTY}, {"file", LF_SERIAL_FILE},
	    {"unix", LF_SERIAL_SOCKET}, {NULL, 0}};
	unsigned type = LF_SERIAL_PTY;
	int rc = xml_get_choice(xml, node, "type", types, &type);

	xml_note(xml, "serial", 0, node);
	xml->config->serial.type = type;
	return rc;
}

int
xml_take_serial_source(struct xml *xml, const xmlNode *node)
{
	return xml_set_attribute(xml, node, "path", &xml->config->serial.path);
}

int
xml_take_graphics(struct xml *xml, const xmlNode *node)
{
	struct lf_graphics *vnc = &xml->config->graphics;
	bool has_port;
	int rc;

	xml_note(xml, "graphics", 0, node);
	vnc->type = LF_GRAPHICS_VNC;
	rc = xml_set_attribute(xml, node, "socket", &vnc->socket);
	if (rc == 0)
		rc = xml_set_attribute(xml, node, "listen", &vnc->address);
	if (rc == 0)
		rc = xml_get_port(xml, node, "port", &has_port, &vnc->port);
	if (rc < 0)
		return rc;
	if (vnc->address != NULL && !has_port)
		vnc->port = LF_VNC_PORT_MIN;
	if (vnc->address == NULL && has_port)
		return lf_domain_config_set(
		    &vnc->address, "127.0.0.1", xml->source.error);
	return 0;
}

int
xml_take_video_model(struct xml *xml, const xmlNode *node)
{
	static const struct value_choice types[] = {
	    {"none", LF_VIDEO_NONE}, {"vga", LF_VIDEO_STD}, {NULL, 0}};
	unsigned type = LF_VIDEO_NONE;
	int rc = xml_get_choice(xml, node, "type", types, &type);

	xml->has_video = true;
	xml->config->video = type;
	return rc;
}

int
xml_take_rng(struct xml *xml, const xmlNode *node)
{
	(void)node;
	xml->config->rng = true;
	return 0;
}

int
xml_take_qemu_arg(struct xml *xml, const xmlNode *node)
{
	cleanup_free char *value = NULL;
	struct lf_error inner;
	int rc = xml_get_attribute(xml, node, "value", &value);

	xml_note(xml, "qemu_args", xml->config->qemu_arg_count, node);
	if (rc == 0 &&
	    lf_domain_config_add_qemu_arg(xml->config, value, &inner) < 0)
		return list_error(xml, node, &inner);
	return rc;
}
