/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packets of GDB's remote serial protocol (GDB manual, E.1), and the two
 * things wanted from a target description: the order of its registers and
 * what it includes. A description is searched for elements, not understood:
 * QEMU's own files have one element a line and nothing clever.
 */
#include "qemu/gdb_packet.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

int
gdb_packet_write(const void *payload, size_t len, char *buf, size_t size)
{
	const uint8_t *bytes = payload;
	uint8_t sum = 0;
	size_t i, at = 0;

	if (size < 2 * len + 5)
		return -EMSGSIZE;
	buf[at++] = '$';
	for (i = 0; i < len; i++) {
		uint8_t byte = bytes[i];

		if (byte == '$' || byte == '#' || byte == '}' || byte == '*') {
			buf[at++] = '}';
			sum += '}';
			byte ^= 0x20;
		}
		buf[at++] = byte;
		sum += byte;
	}
	at += snprintf(buf + at, size - at, "#%02x", sum);
	return at;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Undoes escapes and run lengths. Returns the length or -EBADMSG. */
static int
unpack(const char *bytes, size_t len, char *buf)
{
	size_t i, at = 0;

	for (i = 0; i < len; i++) {
		size_t repeat = 1;
		char byte = bytes[i];

		if (byte == '}') {
			if (++i == len)
				return -EBADMSG;
			byte = bytes[i] ^ 0x20;
		} else if (byte == '*') {
			/* "0* " is "0000": the count is sent plus 29. */
			if (++i == len || at == 0 || bytes[i] < ' ' ||
			    bytes[i] > '~')
				return -EBADMSG;
			repeat = bytes[i] - 29;
			byte = buf[at - 1];
		}
		if (at + repeat >= GDB_PACKET_MAX)
			return -EBADMSG;
		memset(buf + at, byte, repeat);
		at += repeat;
	}
	buf[at] = '\0';
	return at;
}

int
gdb_packet_read(const char *bytes, size_t len, char *buf, size_t *ret_len,
    size_t *ret_used, struct lf_error *error)
{
	const char *start, *end;
	size_t skipped = 0, i;
	uint8_t sum = 0;
	int high, low, n;

	while (
	    skipped < len && (bytes[skipped] == '+' || bytes[skipped] == '-'))
		skipped++;
	*ret_used = skipped;
	if (skipped == len)
		return 0;
	if (bytes[skipped] != '$')
		return error_set(error, EBADMSG,
		    "gdb stub: byte 0x%02x where a packet should begin",
		    (uint8_t)bytes[skipped]);
	start = bytes + skipped + 1;
	end = memchr(start, '#', bytes + len - start);
	if (end == NULL || bytes + len - end < 3) {
		if (len - skipped >= GDB_PACKET_MAX)
			return error_set(error, EBADMSG,
			    "gdb stub: a packet of more than %u bytes",
			    GDB_PACKET_MAX);
		return 0;
	}
	for (i = 0; start + i < end; i++)
		sum += (uint8_t)start[i];
	high = hex_value(end[1]);
	low = hex_value(end[2]);
	*ret_used = end + 3 - bytes;
	if (high < 0 || low < 0 || (high << 4 | low) != sum)
		return error_set(error, EBADMSG,
		    "gdb stub: a packet with checksum '%.2s', 0x%02x expected",
		    end + 1, sum);
	n = unpack(start, end - start, buf);
	if (n < 0)
		return error_set(error, EBADMSG,
		    "gdb stub: a packet that cannot be unpacked");
	*ret_len = n;
	return 1;
}

/* The next "<name " that is not in a comment; NULL when there is none. */
static const char *
next_element(const char *at, const char *element)
{
	const char *comment, *found;

	for (;;) {
		found = strstr(at, element);
		comment = strstr(at, "<!--");
		if (found == NULL || comment == NULL || found < comment)
			return found;
		at = strstr(comment, "-->");
		if (at == NULL)
			return NULL;
	}
}

/*
 * The value of an attribute in the element that begins at `element`, or
 * -ENOENT. `*ret_len` may be 0.
 */
static int
attribute(const char *element, const char *name, const char **ret_value,
    size_t *ret_len)
{
	const char *end = strchr(element, '>'), *at = element, *quote;
	size_t len = strlen(name);

	if (end == NULL)
		return -ENOENT;
	while ((at = strstr(at, name)) != NULL && at < end) {
		const char *value = at + len + 2;

		if (at[-1] == ' ' && at[len] == '=' && at[len + 1] == '"') {
			quote = memchr(value, '"', end - value);
			if (quote == NULL)
				return -ENOENT;
			*ret_value = value;
			*ret_len = quote - value;
			return 0;
		}
		at += len;
	}
	return -ENOENT;
}

int
gdb_packet_find_register(const char *xml, const char *name, unsigned *next)
{
	const char *at = xml, *value;
	size_t len, name_len = strlen(name);

	while ((at = next_element(at, "<reg ")) != NULL) {
		if (attribute(at, "regnum", &value, &len) == 0)
			*next = strtoul(value, NULL, 10);
		if (attribute(at, "name", &value, &len) == 0 &&
		    len == name_len && memcmp(value, name, len) == 0)
			return *next;
		(*next)++;
		at += strlen("<reg ");
	}
	return -ENOENT;
}

int
gdb_packet_next_include(
    const char *xml, size_t *position, char *ret_name, size_t size)
{
	static const char element[] = "<xi:include ";
	const char *at = next_element(xml + *position, element), *value;
	size_t len;

	while (at != NULL) {
		*position = at + strlen(element) - xml;
		if (attribute(at, "href", &value, &len) == 0 && len < size) {
			memcpy(ret_name, value, len);
			ret_name[len] = '\0';
			return 0;
		}
		at = next_element(xml + *position, element);
	}
	return -ENOENT;
}
