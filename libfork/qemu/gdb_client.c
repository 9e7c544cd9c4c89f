/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Client of QEMU's gdb stub. One request is under way at a time; a stop that
 * is reported while its answer is awaited is kept for gdb_client_wait_stop().
 * Packets are acknowledged: QEMU does not offer to go without.
 */
#include "qemu/gdb_client.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"
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
	int fd;
	int timeout_ms;
	char in[2 * GDB_PACKET_MAX]; /* received, not yet taken apart */
	size_t in_len;
	char packet[GDB_PACKET_MAX]; /* the last one, terminated */
	size_t packet_len;
	bool stopped; /* `stop` was reported and not yet asked for */
	struct gdb_stop stop;
	uint32_t thread;    /* selected for registers and memory; 0: none */
	bool physical;      /* memory is guest-physical */
	bool step_by_vcont; /* vCont;s is understood */
	struct known_register registers[REGISTERS_MAX];
	size_t register_count;
};

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static int
gone(struct lf_error *error)
{
	return error_set(error, EPIPE,
	    "gdb stub: the connection ended (QEMU exited, or the guest was "
	    "powered off)");
}

/* Waits for `events` until `deadline`: 1, or 0 when it passed. */
static int
wait_fd(struct gdb_client *client, short events, int64_t deadline,
    struct lf_error *error)
{
	struct pollfd fd = {.fd = client->fd, .events = events};
	int64_t left;
	int n;

	for (;;) {
		left = deadline - now_ms();
		n = sys.poll(&fd, 1, left < 0 ? 0 : (int)left);
		if (n < 0 && errno != EINTR)
			return error_sys(error, errno, "gdb stub: cannot wait");
		if (n > 0)
			return 1;
		if (n == 0)
			return 0;
	}
}

static int
send_all(struct gdb_client *client, const char *bytes, size_t len,
    struct lf_error *error)
{
	int64_t deadline = now_ms() + client->timeout_ms;
	ssize_t n;
	int rc;

	while (len > 0) {
		struct iovec iov = {(void *)bytes, len};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

		n = sys.sendmsg(client->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			bytes += n;
			len -= n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EPIPE || errno == ECONNRESET)
			return gone(error);
		if (errno != EAGAIN)
			return error_sys(error, errno, "gdb stub: cannot send");
		rc = wait_fd(client, POLLOUT, deadline, error);
		if (rc < 0)
			return rc;
		if (rc == 0)
			return error_set(
			    error, ETIMEDOUT, "gdb stub: QEMU does not read");
	}
	return 0;
}

static int
send_packet(struct gdb_client *client, const void *payload, size_t len,
    struct lf_error *error)
{
	char wire[GDB_PACKET_MAX];
	int n = gdb_packet_write(payload, len, wire, sizeof(wire));

	if (n < 0)
		return error_set(
		    error, EMSGSIZE, "gdb stub: a request of %zu bytes", len);
	return send_all(client, wire, n, error);
}

/* Reads what is there: 1, or 0 when nothing is. */
static int
receive(struct gdb_client *client, struct lf_error *error)
{
	ssize_t n;

	do {
		struct iovec iov = {client->in + client->in_len,
		    sizeof(client->in) - client->in_len};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

		n = sys.recvmsg(client->fd, &msg, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return gone(error);
	if (n < 0)
		return error_sys(error, errno, "gdb stub: cannot receive");
	client->in_len += n;
	return 1;
}

/*
 * Takes the next packet into client->packet and acknowledges it: 1, or 0 when
 * none came by `deadline`.
 */
static int
next_packet(struct gdb_client *client, int64_t deadline, struct lf_error *error)
{
	size_t used;
	int rc;

	for (;;) {
		rc = gdb_packet_read(client->in, client->in_len, client->packet,
		    &client->packet_len, &used, error);
		memmove(client->in, client->in + used, client->in_len - used);
		client->in_len -= used;
		if (rc < 0)
			return rc;
		if (rc > 0) {
			rc = send_all(client, "+", 1, error);
			return rc < 0 ? rc : 1;
		}
		rc = receive(client, error);
		if (rc == 0)
			rc = wait_fd(client, POLLIN, deadline, error);
		if (rc <= 0)
			return rc;
	}
}

/* Whether the last packet reports a stop; if so, it is kept. */
static int
take_stop(struct gdb_client *client)
{
	const char *text = client->packet, *thread;
	unsigned signal;

	if (client->packet_len < 3 || strchr("TSWX", text[0]) == NULL)
		return 0;
	if (sscanf(text + 1, "%2x", &signal) != 1)
		return 0;
	client->stop = (struct gdb_stop){.kind = text[0], .signal = signal};
	thread = strstr(text, "thread:");
	if (thread != NULL) {
		thread += strlen("thread:");
		/* With the process before it where the stub has several. */
		if (*thread == 'p' && strchr(thread, '.') != NULL)
			thread = strchr(thread, '.') + 1;
		client->stop.thread = strtoul(thread, NULL, 16);
	}
	client->stopped = true;
	return 1;
}

/* Sends a request and waits for the answer, in client->packet. */
static int
request(struct gdb_client *client, const char *payload, struct lf_error *error)
{
	int64_t deadline = now_ms() + client->timeout_ms;
	int rc;

	rc = send_packet(client, payload, strlen(payload), error);
	while (rc >= 0) {
		rc = next_packet(client, deadline, error);
		if (rc == 0)
			return error_set(error, ETIMEDOUT,
			    "gdb stub: no answer to '%.32s' within %d ms",
			    payload, client->timeout_ms);
		if (rc > 0 && !take_stop(client))
			return 0;
	}
	return rc;
}

/* A request that is answered by OK. */
static int
command(struct gdb_client *client, const char *payload, struct lf_error *error)
{
	int rc = request(client, payload, error);

	if (rc < 0)
		return rc;
	if (strcmp(client->packet, "OK") != 0)
		return error_set(error, EREMOTEIO,
		    "gdb stub: '%.32s' was answered '%.32s', not OK", payload,
		    client->packet);
	return 0;
}

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
	client->fd = fd;
	client->timeout_ms = timeout_ms;
	rc = request(client, "qSupported:xmlRegisters=i386", error);
	if (rc == 0)
		rc = request(client, "vCont?", error);
	if (rc < 0) {
		gdb_client_free(client);
		return rc;
	}
	client->step_by_vcont = strncmp(client->packet, "vCont", 5) == 0 &&
				strstr(client->packet, ";s") != NULL;
	*ret_client = client;
	return 0;
}

void
gdb_client_free(struct gdb_client *client)
{
	if (client == NULL)
		return;
	close_fd(client->fd);
	free(client);
}

int
gdb_client_fd(const struct gdb_client *client)
{
	return client->fd;
}

int
gdb_client_detach(struct gdb_client *client, struct lf_error *error)
{
	return command(client, "D", error);
}

int
gdb_client_threads(struct gdb_client *client, uint32_t *ret_threads, size_t max,
    struct lf_error *error)
{
	size_t count = 0;
	int rc;

	rc = request(client, "qfThreadInfo", error);
	while (rc == 0 && client->packet[0] == 'm') {
		char *at = client->packet + 1, *end;

		for (;;) {
			if (count == max)
				return error_set(error, EFBIG,
				    "gdb stub: more than %zu vCPUs", max);
			ret_threads[count] = strtoul(at, &end, 16);
			if (end == at || (*end != ',' && *end != '\0') ||
			    ret_threads[count] == 0)
				return error_set(error, EBADMSG,
				    "gdb stub: list of vCPUs '%.64s'",
				    client->packet);
			count++;
			if (*end == '\0')
				break;
			at = end + 1;
		}
		rc = request(client, "qsThreadInfo", error);
	}
	if (rc < 0)
		return rc;
	if (client->packet[0] != 'l' || count == 0)
		return error_set(error, EBADMSG,
		    "gdb stub: list of vCPUs '%.64s'", client->packet);
	return count;
}

int
gdb_client_insert_breakpoint(
    struct gdb_client *client, uint64_t address, struct lf_error *error)
{
	char text[64];

	snprintf(text, sizeof(text), "Z1,%llx,1", (unsigned long long)address);
	return command(client, text, error);
}

int
gdb_client_remove_breakpoint(
    struct gdb_client *client, uint64_t address, struct lf_error *error)
{
	char text[64];

	snprintf(text, sizeof(text), "z1,%llx,1", (unsigned long long)address);
	return command(client, text, error);
}

/* Resuming is answered by the next stop only. */
static int
resume(struct gdb_client *client, const char *payload, struct lf_error *error)
{
	client->stopped = false;
	client->thread = 0;
	return send_packet(client, payload, strlen(payload), error);
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
		    client, client->timeout_ms, &stop, error);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return error_set(error, ETIMEDOUT,
		    "gdb stub: vCPU %u did not finish one instruction within "
		    "%d ms",
		    thread - 1, client->timeout_ms);
	if (stop.kind == 'W' || stop.kind == 'X')
		return gone(error);
	return 0;
}

int
gdb_client_interrupt(struct gdb_client *client, struct lf_error *error)
{
	return send_all(client, "\x03", 1, error);
}

int
gdb_client_wait_stop(struct gdb_client *client, int timeout_ms,
    struct gdb_stop *ret_stop, struct lf_error *error)
{
	int64_t deadline = now_ms() + timeout_ms;
	int rc;

	while (!client->stopped) {
		rc = next_packet(client, deadline, error);
		if (rc <= 0)
			return rc;
		if (!take_stop(client))
			return error_set(error, EBADMSG,
			    "gdb stub: '%.32s' where a stop was awaited",
			    client->packet);
	}
	client->stopped = false;
	*ret_stop = client->stop;
	return 1;
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
	rc = command(client, text, error);
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
		rc = request(client, text, error);
		if (rc < 0)
			return rc;
		if (client->packet[0] != 'l' && client->packet[0] != 'm')
			return error_set(error, EREMOTEIO,
			    "gdb stub: no target description '%.64s'", name);
		part = client->packet_len - 1;
		if (part >= size - *len ||
		    (part == 0 && client->packet[0] == 'm'))
			return error_set(error, EBADMSG,
			    "gdb stub: target description '%.64s': a part of "
			    "%zu bytes at %zu",
			    name, part, offset);
		memcpy(buf + *len, client->packet + 1, part);
		*len += part;
		offset += part;
		buf[*len] = '\0';
	} while (client->packet[0] == 'm');
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
	rc = request(client, text, error);
	if (rc < 0)
		return rc;
	rc = from_hex(client->packet, client->packet_len, bytes, sizeof(bytes));
	if (rc <= 0)
		return error_set(error, EBADMSG,
		    "gdb stub: register '%.16s' is '%.32s'", name,
		    client->packet);
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
		rc = command(client,
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
		rc = request(client, text, error);
		if (rc < 0)
			return rc;
		if (client->packet[0] == 'E')
			return error_set(error, EFAULT,
			    "gdb stub: no memory at 0x%llx",
			    (unsigned long long)address);
		if (from_hex(client->packet, client->packet_len, at, part) !=
		    (int)part)
			return error_set(error, EBADMSG,
			    "gdb stub: %zu bytes of memory at 0x%llx are "
			    "'%.32s'",
			    part, (unsigned long long)address, client->packet);
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
		rc = request(client, text, error);
		if (rc < 0)
			return rc;
		if (strcmp(client->packet, "OK") != 0)
			return error_set(error, EFAULT,
			    "gdb stub: memory at 0x%llx cannot be written",
			    (unsigned long long)address);
	}
	return rc;
}
