/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A configuration as domain XML. What is the default is not printed, as in
 * xl.cfg.
 */
#include "config/xml.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <libxml/xmlwriter.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/writer.h"

#define MIB (UINT64_C(1) << 20)

/* A document being printed; a failure is remembered. */
struct out {
	xmlTextWriter *writer;
	bool failed;
};

static void
result(struct out *out, int n)
{
	if (n < 0)
		out->failed = true;
}

static void
begin(struct out *out, const char *name)
{
	result(out, xmlTextWriterStartElement(out->writer, BAD_CAST name));
}

static void
end(struct out *out)
{
	result(out, xmlTextWriterEndElement(out->writer));
}

static void
attribute(struct out *out, const char *name, const char *value)
{
	result(out, xmlTextWriterWriteAttribute(
			out->writer, BAD_CAST name, BAD_CAST value));
}

static void
number(struct out *out, const char *name, unsigned value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	attribute(out, name, text);
}

/* <NAME>TEXT</NAME>; nothing when there is no text. */
static void
text(struct out *out, const char *name, const char *value)
{
	if (value != NULL)
		result(out, xmlTextWriterWriteElement(
				out->writer, BAD_CAST name, BAD_CAST value));
}

/* <NAME ATTRIBUTE="VALUE"/>; nothing when there is no value. */
static void
single(struct out *out, const char *name, const char *attribute_name,
    const char *value)
{
	if (value == NULL)
		return;
	begin(out, name);
	attribute(out, attribute_name, value);
	end(out);
}

static void
print_cpu(struct out *out, const char *cpu)
{
	if (cpu == NULL)
		return;
	begin(out, "cpu");
	if (strcmp(cpu, "host") == 0) {
		attribute(out, "mode", "host-passthrough");
	} else if (strcmp(cpu, "max") == 0) {
		attribute(out, "mode", "maximum");
	} else {
		attribute(out, "mode", "custom");
		text(out, "model", cpu);
	}
	end(out);
}

static void
print_os(struct out *out, const struct lf_domain_config *config)
{
	const struct lf_firmware *firmware = &config->firmware;

	begin(out, "os");
	begin(out, "type");
	attribute(out, "arch", "x86_64");
	attribute(out, "machine", lf_machine_name(config->machine));
	result(out, xmlTextWriterWriteString(out->writer, BAD_CAST "hvm"));
	end(out);
	if (firmware->path != NULL) {
		bool flash = firmware->type == LF_FIRMWARE_PFLASH;

		begin(out, "loader");
		if (flash)
			attribute(out, "readonly", "yes");
		attribute(out, "type", flash ? "pflash" : "rom");
		result(out, xmlTextWriterWriteString(
				out->writer, BAD_CAST firmware->path));
		end(out);
	}
	text(out, "nvram", firmware->nvram);
	text(out, "kernel", config->kernel);
	text(out, "initrd", config->ramdisk);
	text(out, "cmdline", config->cmdline);
	end(out);
}

static void
print_disk(struct out *out, const struct lf_disk *disk)
{
	begin(out, "disk");
	attribute(out, "type", "file");
	attribute(out, "device", "disk");
	begin(out, "driver");
	attribute(out, "name", "qemu");
	attribute(out, "type", lf_disk_format_name(disk->format));
	end(out);
	single(out, "source", "file", disk->path);
	if (disk->device != NULL) {
		begin(out, "target");
		attribute(out, "dev", disk->device);
		attribute(out, "bus", "virtio");
		end(out);
	}
	if (disk->read_only) {
		begin(out, "readonly");
		end(out);
	}
	end(out);
}

static void
print_forward(struct out *out, const struct lf_forward *forward)
{
	begin(out, "portForward");
	attribute(
	    out, "proto", forward->protocol == LF_PROTOCOL_UDP ? "udp" : "tcp");
	if (forward->address != NULL)
		attribute(out, "address", forward->address);
	begin(out, "range");
	number(out, "start", forward->host_port);
	number(out, "to", forward->guest_port);
	end(out);
	end(out);
}

static void
print_network(struct out *out, const struct lf_network *network)
{
	char mac[LF_MAC_STRING_SIZE];

	begin(out, "interface");
	attribute(
	    out, "type", network->type == LF_NETWORK_TAP ? "ethernet" : "user");
	if (network->mac.set) {
		lf_mac_format(&network->mac, mac);
		single(out, "mac", "address", mac);
	}
	single(out, "model", "type", "virtio");
	if (network->restrict_guest)
		single(out, "backend", "restrict", "yes");
	if (network->interface != NULL) {
		begin(out, "target");
		attribute(out, "dev", network->interface);
		attribute(out, "managed", "no");
		end(out);
	}
	for (size_t i = 0; i < network->forward_count; i++)
		print_forward(out, &network->forwards[i]);
	end(out);
}

static void
print_serial(struct out *out, const struct lf_serial *serial)
{
	static const char *const types[] = {
	    [LF_SERIAL_NONE] = "null",
	    [LF_SERIAL_PTY] = "pty",
	    [LF_SERIAL_FILE] = "file",
	    [LF_SERIAL_SOCKET] = "unix",
	};

	begin(out, "serial");
	attribute(out, "type", types[serial->type]);
	if (serial->path != NULL) {
		begin(out, "source");
		if (serial->type == LF_SERIAL_SOCKET)
			attribute(out, "mode", "bind");
		attribute(out, "path", serial->path);
		end(out);
	}
	end(out);
}

static void
print_graphics(struct out *out, const struct lf_domain_config *config)
{
	const struct lf_graphics *graphics = &config->graphics;
	bool vnc = graphics->type == LF_GRAPHICS_VNC;

	if (vnc) {
		begin(out, "graphics");
		attribute(out, "type", "vnc");
		if (graphics->socket != NULL)
			attribute(out, "socket", graphics->socket);
		if (graphics->address != NULL) {
			attribute(out, "listen", graphics->address);
			number(out, "port", graphics->port);
		}
		end(out);
	}
	/* Where the parser would take the other. */
	if ((config->video == LF_VIDEO_STD) != vnc) {
		begin(out, "video");
		single(out, "model", "type",
		    config->video == LF_VIDEO_STD ? "vga" : "none");
		end(out);
	}
}

static void
print_devices(struct out *out, const struct lf_domain_config *config)
{
	begin(out, "devices");
	for (size_t i = 0; i < config->disk_count; i++)
		print_disk(out, &config->disks[i]);
	for (size_t i = 0; i < config->network_count; i++)
		print_network(out, &config->networks[i]);
	print_serial(out, &config->serial);
	print_graphics(out, config);
	if (config->rng) {
		begin(out, "rng");
		attribute(out, "model", "virtio");
		single(out, "backend", "model", "builtin");
		end(out);
	}
	end(out);
}

static void
print_identity(struct out *out, const struct lf_domain_config *config)
{
	char uuid[LF_UUID_STRING_SIZE];

	text(out, "name", config->name);
	if (config->uuid.set) {
		lf_uuid_format(&config->uuid, uuid);
		text(out, "uuid", uuid);
	}
	if (config->vmgenid.present) {
		uuid[0] = '\0';
		if (config->vmgenid.value.set)
			lf_uuid_format(&config->vmgenid.value, uuid);
		text(out, "genid", uuid);
	}
}

static void
print_domain(struct out *out, const struct lf_domain_config *config)
{
	static const char *const types[] = {
	    [LF_ACCELERATOR_AUTO] = "auto",
	    [LF_ACCELERATOR_KVM] = "kvm",
	    [LF_ACCELERATOR_TCG] = "qemu",
	};
	char value[24];

	begin(out, "domain");
	attribute(out, "type", types[config->accelerator]);
	if (config->qemu_arg_count > 0)
		attribute(out, "xmlns:qemu", XML_QEMU_NAMESPACE);
	print_identity(out, config);
	begin(out, "memory");
	attribute(out, "unit", "MiB");
	snprintf(value, sizeof(value), "%" PRIu64, config->memory_bytes / MIB);
	result(out, xmlTextWriterWriteString(out->writer, BAD_CAST value));
	end(out);
	snprintf(value, sizeof(value), "%u", config->vcpus);
	text(out, "vcpu", value);
	print_cpu(out, config->cpu);
	print_os(out, config);
	print_devices(out, config);
	if (config->qemu_arg_count > 0) {
		begin(out, "qemu:commandline");
		for (size_t i = 0; i < config->qemu_arg_count; i++)
			single(out, "qemu:arg", "value", config->qemu_args[i]);
		end(out);
	}
	end(out);
}

static int
append(void *opaque, const char *bytes, int len)
{
	writer_bytes(opaque, bytes, (size_t)len);
	return len;
}

/* libxml2 drops text when it is out of memory, and tells it here only. */
static void
on_error(void *opaque, xmlError *complaint)
{
	struct out *out = opaque;

	(void)complaint;
	out->failed = true;
}

/* Some of it in a way of its own. */
static void
on_text(void *opaque, const char *format, ...)
{
	struct out *out = opaque;

	(void)format;
	out->failed = true;
}

static void
print(struct out *out, const struct lf_domain_config *config, struct writer *w)
{
	xmlOutputBuffer *buffer;

	buffer = xmlOutputBufferCreateIO(append, NULL, w, NULL);
	out->writer = buffer != NULL ? xmlNewTextWriter(buffer) : NULL;
	if (out->writer == NULL) {
		if (buffer != NULL)
			xmlOutputBufferClose(buffer);
		out->failed = true;
		return;
	}
	result(out, xmlTextWriterSetIndent(out->writer, 1));
	result(out, xmlTextWriterSetIndentString(out->writer, BAD_CAST "  "));
	print_domain(out, config);
	result(out, xmlTextWriterEndDocument(out->writer));
	result(out, xmlTextWriterFlush(out->writer));
	xmlFreeTextWriter(out->writer);
}

int
xml_print(const struct lf_domain_config *config, char **ret_text,
    struct lf_error *error)
{
	cleanup(writer_done) struct writer w = {0};
	struct out out = {0};
	int rc;

	/* What cannot be parsed cannot be printed either. */
	rc = lf_domain_config_check(config, error);
	if (rc < 0)
		return rc;
	xmlSetStructuredErrorFunc(&out, on_error);
	xmlSetGenericErrorFunc(&out, on_text);
	print(&out, config, &w);
	xmlSetGenericErrorFunc(NULL, NULL);
	xmlSetStructuredErrorFunc(NULL, NULL);
	writer_u8(&w, '\0');
	if (out.failed || writer_status(&w, NULL) < 0)
		return error_nomem(error);
	*ret_text = (char *)take_ptr(w.data);
	return 0;
}
