/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Client of QEMU's gdb stub: the requests. The connection is in gdb_link.c.
 */
#include "qemu/gdb_client.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"
#include "qemu/gdb_link.h"
#include "qemu/gdb_packet.h"

/* Registers whose numbers are remembered. */
#define REGISTERS_MAX 16

/* Bytes of a target description and of all documents it includes. */
#define DESCRIPTION_MAX (256U << 10)

struct known_register {
	char name[16];
	unsigned number;
};

struct gdb_client {
	struct gdb_link link;
	uint32_t thread;    /* selected for registers and memory; 0: none */
	bool physical;      /* memory is guest-physical */
	bool step_by_vcont; /* vCont;s is understood */
	struct known_register registers[REGISTERS_MAX];
	size_t register_count;
};

int
gdb_client_new(int fd, int timeout_ms, struct gdb_client **ret_client,
    struct lf_error *error)
{
	struct gdb_client *client = sys.calloc(1, sizeof(*client));
	int rc;

	if (client == NULL) {
		close_fd(fd);
		return error_nomem(error);
	}
	client->link.fd = fd;
	client->link.timeout_ms = timeout_ms;
	rc = gdb_link_request(
	    &client->link, "qSupported:xmlRegisters=i386", error);
	if (rc == 0)
		rc = gdb_link_request(&client->link, "vCont?", error);
	if (rc < 0) {
		gdb_client_free(client);
		return rc;
	}
	client->step_by_vcont = strncmp(client->link.packet, "vCont", 5) == 0 &&
				strstr(client->link.packet, ";s") != NULL;
	*ret_client = client;
	return 0;
}

void
gdb_client_free(struct gdb_client *client)
{
	if (client == NULL)
		return;
	close_fd(client->link.fd);
	free(client);
}

int
gdb_client_fd(const struct gdb_client *client)
{
	return client->link.fd;
}

int
gdb_client_detach(struct gdb_client *client, struct lf_error *error)
{
	return gdb_link_command(&client->link, "D", error);
}

int
gdb_client_threads(struct gdb_client *client, uint32_t *ret_threads, size_t max,
    struct lf_error *error)
{
	size_t count = 0;
	int rc;

	rc = gdb_link_request(&client->link, "qfThreadInfo", error);
	while (rc == 0 && client->link.packet[0] == 'm') {
		char *at = client->link.packet + 1, *end;

		for (;;) {
			if (count == max)
				return error_set(error, EFBIG,
				    "gdb stub: more than %zu vCPUs", max);
			ret_threads[count] = strtoul(at, &end, 16);
			if (end == at || (*end != ',' && *end != '\0') ||
			    ret_threads[count] == 0)
				return error_set(error, EBADMSG,
				    "gdb stub: list of vCPUs '%.64s'",
				    client->link.packet);
			count++;
			if (*end == '\0')
				break;
			at = end + 1;
		}
		rc = gdb_link_request(&client->link, "qsThreadInfo", error);
	}
	if (rc < 0)
		return rc;
	if (client->link.packet[0] != 'l' || count == 0)
		return error_set(error, EBADMSG,
		    "gdb stub: list of vCPUs '%.64s'", client->link.packet);
	return count;
}

int
gdb_client_insert_breakpoint(
    struct gdb_client *client, uint64_t address, struct lf_error *error)
{
	char text[64];

	snprintf(text, sizeof(text), "Z1,%llx,1", (unsigned long long)address);
	return gdb_link_command(&client->link, text, error);
}

int
gdb_client_remove_breakpoint(
    struct gdb_client *client, uint64_t address, struct lf_error *error)
{
	char text[64];

	snprintf(text, sizeof(text), "z1,%llx,1", (unsigned long long)address);
	return gdb_link_command(&client->link, text, error);
}

static int
resume(struct gdb_client *client, const char *payload, struct lf_error *error)
{
	client->thread = 0;
	return gdb_link_resume(&client->link, payload, error);
}

int
gdb_client_continue(struct gdb_client *client, struct lf_error *error)
{
	return resume(client, "c", error);
}

int
gdb_client_step(
    struct gdb_client *client, uint32_t thread, struct lf_error *error)
{
	struct gdb_stop stop;
	char text[32];
	int rc;

	if (!client->step_by_vcont)
		return error_set(error, EOPNOTSUPP,
		    "gdb stub: this QEMU cannot step one vCPU (vCont;s)");
	snprintf(text, sizeof(text), "vCont;s:%x", thread);
	rc = resume(client, text, error);
	if (rc == 0)
		rc = gdb_client_wait_stop(
		    client, client->link.timeout_ms, &stop, error);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return error_set(error, ETIMEDOUT,
		    "gdb stub: vCPU %u did not finish one instruction within "
		    "%d ms",
		    thread - 1, client->link.timeout_ms);
	if (stop.kind == 'W' || stop.kind == 'X')
		return gdb_link_gone(error);
	return 0;
}

int
gdb_client_interrupt(struct gdb_client *client, struct lf_error *error)
{
	return gdb_link_send(&client->link, "\x03", 1, error);
}

int
gdb_client_wait_stop(struct gdb_client *client, int timeout_ms,
    struct gdb_stop *ret_stop, struct lf_error *error)
{
	return gdb_link_wait_stop(&client->link, timeout_ms, ret_stop, error);
}

static int
select_thread(
    struct gdb_client *client, uint32_t thread, struct lf_error *error)
{
	char text[32];
	int rc;

	if (client->thread == thread)
		return 0;
	snprintf(text, sizeof(text), "Hg%x", thread);
	rc = gdb_link_command(&client->link, text, error);
	if (rc == 0)
		client->thread = thread;
	return rc;
}

/*
 * One document of the target description, in parts of what fits a packet;
 * added at `*len` of `buf`, and terminated.
 */
static int
read_document(struct gdb_client *client, const char *name, char *buf,
    size_t size, size_t *len, struct lf_error *error)
{
	size_t offset = 0, part;
	char text[128];
	int rc;

	do {
		snprintf(text, sizeof(text), "qXfer:features:read:%.64s:%zx,%x",
		    name, offset, GDB_MEMORY_MAX);
		rc = gdb_link_request(&client->link, text, error);
		if (rc < 0)
			return rc;
		if (client->link.packet[0] != 'l' &&
		    client->link.packet[0] != 'm')
			return error_set(error, EREMOTEIO,
			    "gdb stub: no target description '%.64s'", name);
		part = client->link.packet_len - 1;
		if (part >= size - *len ||
		    (part == 0 && client->link.packet[0] == 'm'))
			return error_set(error, EBADMSG,
			    "gdb stub: target description '%.64s': a part of "
			    "%zu bytes at %zu",
			    name, part, offset);
		memcpy(buf + *len, client->link.packet + 1, part);
		*len += part;
		offset += part;
		buf[*len] = '\0';
	} while (client->link.packet[0] == 'm');
	if (strlen(buf) != *len)
		return error_set(error, EBADMSG,
		    "gdb stub: a NUL byte in target description '%.64s'", name);
	return 0;
}

/* The number of a register from the target's description. */
static int
register_number(struct gdb_client *client, const char *name,
    unsigned *ret_number, struct lf_error *error)
{
	cleanup_free char *xml = sys.malloc(DESCRIPTION_MAX);
	char include[65];
	size_t len = 0, position = 0;
	unsigned next = 0;
	int rc;

	if (xml == NULL)
		return error_nomem(error);
	/* The included documents come behind the first: one text to search,
	 * in which a register's number is its place. */
	rc = read_document(
	    client, "target.xml", xml, DESCRIPTION_MAX, &len, error);
	while (rc == 0 && gdb_packet_next_include(
			      xml, &position, include, sizeof(include)) == 0)
		rc = read_document(
		    client, include, xml, DESCRIPTION_MAX, &len, error);
	if (rc < 0)
		return rc;
	rc = gdb_packet_find_register(xml, name, &next);
	if (rc < 0)
		return error_set(
		    error, ENOENT, "gdb stub: no register '%.16s'", name);
	*ret_number = rc;
	return 0;
}

static int
known_number(struct gdb_client *client, const char *name, unsigned *ret_number,
    struct lf_error *error)
{
	struct known_register *known;
	size_t i;
	int rc;

	for (i = 0; i < client->register_count; i++)
		if (strcmp(client->registers[i].name, name) == 0) {
			*ret_number = client->registers[i].number;
			return 0;
		}
	rc = register_number(client, name, ret_number, error);
	if (rc == 0 && i < REGISTERS_MAX &&
	    strlen(name) < sizeof(known->name)) {
		known = &client->registers[client->register_count++];
		snprintf(known->name, sizeof(known->name), "%s", name);
		known->number = *ret_number;
	}
	return rc;
}

/* Hex digits to bytes: how many, or -EBADMSG. */
static int
from_hex(const char *text, size_t text_len, uint8_t *buf, size_t size)
{
	size_t i;
	unsigned byte;

	if (text_len % 2 != 0 || text_len / 2 > size)
		return -EBADMSG;
	for (i = 0; i < text_len / 2; i++) {
		if (!isxdigit((unsigned char)text[2 * i]) ||
		    !isxdigit((unsigned char)text[2 * i + 1]) ||
		    sscanf(text + 2 * i, "%2x", &byte) != 1)
			return -EBADMSG;
		buf[i] = byte;
	}
	return i;
}

int
gdb_client_read_register(struct gdb_client *client, uint32_t thread,
    const char *name, uint64_t *ret_value, struct lf_error *error)
{
	uint64_t value = 0;
	uint8_t bytes[8];
	unsigned number;
	char text[32];
	int rc, i;

	rc = known_number(client, name, &number, error);
	if (rc == 0)
		rc = select_thread(client, thread, error);
	if (rc < 0)
		return rc;
	snprintf(text, sizeof(text), "p%x", number);
	rc = gdb_link_request(&client->link, text, error);
	if (rc < 0)
		return rc;
	rc = from_hex(
	    client->link.packet, client->link.packet_len, bytes, sizeof(bytes));
	if (rc <= 0)
		return error_set(error, EBADMSG,
		    "gdb stub: register '%.16s' is '%.32s'", name,
		    client->link.packet);
	for (i = rc - 1; i >= 0; i--)
		value = value << 8 | bytes[i];
	*ret_value = value;
	return 0;
}

static int
select_memory(
    struct gdb_client *client, uint32_t thread, struct lf_error *error)
{
	bool physical = thread == GDB_PHYSICAL;
	int rc;

	if (physical != client->physical) {
		rc = gdb_link_command(&client->link,
		    physical ? "Qqemu.PhyMemMode:1" : "Qqemu.PhyMemMode:0",
		    error);
		if (rc < 0)
			return rc;
		client->physical = physical;
	}
	return physical ? 0 : select_thread(client, thread, error);
}

int
gdb_client_read_memory(struct gdb_client *client, uint32_t thread,
    uint64_t address, void *buf, size_t len, struct lf_error *error)
{
	uint8_t *at = buf;
	size_t part;
	char text[64];
	int rc;

	rc = select_memory(client, thread, error);
	for (; rc == 0 && len > 0; len -= part, at += part, address += part) {
		part = len < GDB_MEMORY_MAX ? len : GDB_MEMORY_MAX;
		snprintf(text, sizeof(text), "m%llx,%zx",
		    (unsigned long long)address, part);
		rc = gdb_link_request(&client->link, text, error);
		if (rc < 0)
			return rc;
		if (client->link.packet[0] == 'E')
			return error_set(error, EFAULT,
			    "gdb stub: no memory at 0x%llx",
			    (unsigned long long)address);
		if (from_hex(client->link.packet, client->link.packet_len, at,
			part) != (int)part)
			return error_set(error, EBADMSG,
			    "gdb stub: %zu bytes of memory at 0x%llx are "
			    "'%.32s'",
			    part, (unsigned long long)address,
			    client->link.packet);
	}
	return rc;
}

int
gdb_client_write_memory(struct gdb_client *client, uint32_t thread,
    uint64_t address, const void *bytes, size_t len, struct lf_error *error)
{
	char text[2 * GDB_MEMORY_MAX + 64];
	const uint8_t *at = bytes;
	size_t part, i, used;
	int rc;

	rc = select_memory(client, thread, error);
	for (; rc == 0 && len > 0; len -= part, at += part, address += part) {
		part = len < GDB_MEMORY_MAX ? len : GDB_MEMORY_MAX;
		used = snprintf(text, sizeof(text),
		    "M%llx,%zx:", (unsigned long long)address, part);
		for (i = 0; i < part; i++)
			used += snprintf(
			    text + used, sizeof(text) - used, "%02x", at[i]);
		rc = gdb_link_request(&client->link, text, error);
		if (rc < 0)
			return rc;
		if (strcmp(client->link.packet, "OK") != 0)
			return error_set(error, EFAULT,
			    "gdb stub: memory at 0x%llx cannot be written",
			    (unsigned long long)address);
	}
	return rc;
}
