/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A qcow2 image's header, after docs/interop/qcow2.txt of QEMU. Integers are
 * big-endian.
 */
#include "forkd/qcow2.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/reader.h"
#include "base/sys.h"

#define MAGIC            0x514649fb
#define HEADER_2_BYTES   72 /* of version 2, which has no length field */
#define EXTENSION_END    0
#define EXTENSION_FORMAT 0xe2792aca

/* Header, extensions and the name lie in the first cluster; we read its first
 * part, which is enough for what programs write. */
#define HEADER_MAX 8192

/* Fields up to the size; the position is behind them. */
static int
read_fields(struct reader *r, uint32_t *ret_version, uint64_t *ret_name_at,
    uint32_t *ret_name_len, uint64_t *ret_bytes, struct lf_error *error)
{
	uint32_t cluster_bits;
	int rc;

	rc = reader_be32(r, "version", ret_version, error);
	if (rc == 0)
		rc = reader_be64(r, "backing file's place", ret_name_at, error);
	if (rc == 0)
		rc = reader_be32(
		    r, "backing file's length", ret_name_len, error);
	if (rc == 0)
		rc = reader_be32(r, "cluster bits", &cluster_bits, error);
	if (rc == 0)
		rc = reader_be64(r, "size", ret_bytes, error);
	return rc;
}

/* The header's own length; extensions begin there. */
static int
header_length(const struct reader *whole, uint32_t version, uint32_t *ret_len,
    struct lf_error *error)
{
	struct reader r = *whole;
	int rc;

	*ret_len = HEADER_2_BYTES;
	if (version < 3)
		return 0;
	r.pos = 0;
	rc = reader_skip(&r, "fields", 100, error);
	return rc < 0 ? rc : reader_be32(&r, "header length", ret_len, error);
}

static int
read_format(const struct reader *whole, uint32_t header_len, struct qcow2 *ret,
    struct lf_error *error)
{
	struct reader r = *whole;
	int rc;

	r.pos = 0;
	rc = reader_skip(&r, "header", header_len, error);
	while (rc == 0) {
		const uint8_t *bytes;
		uint32_t type, len;

		rc = reader_be32(&r, "extension's type", &type, error);
		if (rc == 0)
			rc = reader_be32(&r, "extension's length", &len, error);
		if (rc < 0 || type == EXTENSION_END)
			break;
		if (type != EXTENSION_FORMAT) {
			/* Padded to eight bytes. */
			rc = len > HEADER_MAX
				 ? error_set(error, EBADMSG,
				       "%s: an extension of %u bytes", r.name,
				       len)
				 : reader_skip(&r, "extension",
				       ((size_t)len + 7) & ~(size_t)7, error);
			continue;
		}
		if (len > QCOW2_FORMAT_MAX)
			return error_set(error, EBADMSG,
			    "%s: a backing format's name of %u bytes", r.name,
			    len);
		rc = reader_bytes(&r, "backing format", len, &bytes, error);
		if (rc == 0) {
			memcpy(ret->format, bytes, len);
			ret->format[len] = '\0';
		}
		break;
	}
	return rc;
}

static int
read_name(const struct reader *whole, uint64_t at, uint32_t len,
    struct qcow2 *ret, struct lf_error *error)
{
	struct reader r = *whole;
	const uint8_t *bytes;
	int rc;

	if (at == 0)
		return 0;
	if (len > QCOW2_NAME_MAX || at > HEADER_MAX)
		return error_set(error, EBADMSG,
		    "%s: a backing file's name of %u bytes at 0x%llx", r.name,
		    len, (unsigned long long)at);
	r.pos = 0;
	rc = reader_skip(&r, "header", (size_t)at, error);
	if (rc == 0)
		rc =
		    reader_bytes(&r, "backing file's name", len, &bytes, error);
	if (rc == 0 && memchr(bytes, '\0', len) != NULL)
		rc = error_set(error, EBADMSG,
		    "%s: the backing file's name has a NUL in it", r.name);
	if (rc == 0) {
		memcpy(ret->backing, bytes, len);
		ret->backing[len] = '\0';
	}
	return rc;
}

int
qcow2_read(int fd, const char *path, struct qcow2 *ret, struct lf_error *error)
{
	uint8_t header[HEADER_MAX];
	uint32_t magic, version = 0, name_len = 0, header_len = 0;
	uint64_t name_at = 0;
	struct reader r;
	ssize_t n;
	int rc;

	*ret = (struct qcow2){0};
	n = sys.pread(fd, header, sizeof(header), 0);
	if (n < 0)
		return error_sys(error, errno, "cannot read image '%s'", path);
	reader_init(&r, header, (size_t)n, path);
	if (reader_be32(&r, "magic", &magic, NULL) < 0 || magic != MAGIC)
		return 0;
	rc = read_fields(&r, &version, &name_at, &name_len, &ret->bytes, error);
	if (rc == 0)
		rc = header_length(&r, version, &header_len, error);
	if (rc == 0)
		rc = read_name(&r, name_at, name_len, ret, error);
	if (rc == 0 && ret->backing[0] != '\0')
		rc = read_format(&r, header_len, ret, error);
	return rc < 0 ? rc : 1;
}
