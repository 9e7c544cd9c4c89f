/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Device-state files. A file comes from a user and may change while it is
 * looked at, so it is copied first, never mapped.
 */
#include "qemu/devstate.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"

void
devstate_free(struct devstate *devstate)
{
	if (devstate == NULL)
		return;
	stream_free(devstate->stream);
	free(devstate->data);
	free(devstate);
}

static int
read_all(int fd, struct devstate *devstate, struct lf_error *error)
{
	struct stat st;

	if (sys.fstat(fd, &st) < 0)
		return error_sys(error, errno, "device state");
	if (!S_ISREG(st.st_mode))
		return error_set(
		    error, EINVAL, "device state: not a regular file");
	if (st.st_size <= 0 || (size_t)st.st_size > DEVSTATE_BYTES_MAX)
		return error_set(error, EINVAL,
		    "device state: a file of %lld bytes, at most %lu are read",
		    (long long)st.st_size, DEVSTATE_BYTES_MAX);
	devstate->data = sys.malloc((size_t)st.st_size);
	if (devstate->data == NULL)
		return error_nomem(error);
	while (devstate->len < (size_t)st.st_size) {
		ssize_t n = sys.pread(fd,
		    (char *)devstate->data + devstate->len,
		    (size_t)st.st_size - devstate->len, (off_t)devstate->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(
			    error, errno, "device state: cannot read it");
		if (n == 0)
			break; /* it became shorter: the index will see */
		devstate->len += (size_t)n;
	}
	return 0;
}

int
devstate_read(int fd, const struct stream *like, struct devstate **ret_devstate,
    struct lf_error *error)
{
	cleanup(devstate_free_p) struct devstate *devstate = NULL;
	int rc;

	devstate = sys.calloc(1, sizeof(*devstate));
	if (devstate == NULL)
		return error_nomem(error);
	rc = read_all(fd, devstate, error);
	if (rc == 0)
		rc = stream_parse(devstate->data, devstate->len, like,
		    &devstate->stream, error);
	if (rc < 0)
		return rc;
	*ret_devstate = take_ptr(devstate);
	return 0;
}

static int
compare_cpu(const struct stream *mine, const struct stream_section *a,
    const struct stream *other, const struct stream_section *b,
    struct lf_error *error)
{
	size_t shorter = a->length < b->length ? a->length : b->length;
	const uint8_t *x = mine->data + a->offset;
	const uint8_t *y = other->data + b->offset;
	char field[256];
	size_t i;

	for (i = 0; i < shorter && x[i] == y[i]; i++)
		;
	if (i == shorter && a->length == b->length)
		return 0;
	if (i == shorter && i > 0)
		i--; /* one has a subsection more: name what is before */
	vmdesc_name_offset(a->device, (uint32_t)i, field, sizeof(field));
	return error_set(error, EINVAL,
	    "the device state is not of this snapshot: vCPU %u differs from "
	    "field '%s' on (byte %zu: 0x%02x there, 0x%02x here)",
	    a->instance_id, field, i, y[i], x[i]);
}

int
devstate_check(const struct stream *mine, const struct stream *other,
    struct lf_error *error)
{
	size_t i;

	if (mine->machine[0] != '\0' && other->machine[0] != '\0' &&
	    strcmp(mine->machine, other->machine) != 0)
		return error_set(error, EINVAL,
		    "the device state is of a machine '%s', the snapshot of "
		    "'%s'",
		    other->machine, mine->machine);
	for (i = 0; i < mine->section_count; i++) {
		const struct stream_section *section = &mine->sections[i];
		const struct stream_section *its =
		    stream_find(other, section->name, section->instance_id);
		int rc;

		if (its == NULL)
			return error_set(error, EINVAL,
			    "the device state has no section '%s' (instance "
			    "%u): it is of another domain",
			    section->name, section->instance_id);
		if (strcmp(section->name, "cpu") != 0)
			continue;
		rc = compare_cpu(mine, section, other, its, error);
		if (rc < 0)
			return rc;
	}
	for (i = 0; i < other->section_count; i++)
		if (stream_find(mine, other->sections[i].name,
			other->sections[i].instance_id) == NULL)
			return error_set(error, EINVAL,
			    "the device state has a section '%s' (instance "
			    "%u), the snapshot has none",
			    other->sections[i].name,
			    other->sections[i].instance_id);
	return 0;
}

int
devstate_get_u32(const struct stream *stream,
    const struct stream_section *section, const char *field, uint32_t *ret)
{
	const struct vmdesc_node *node;
	uint32_t raw;

	if (section->device == NULL)
		return -ENOENT;
	node = vmdesc_find(
	    section->device->nodes, section->device->node_count, field, -1);
	if (node == NULL || node->size != sizeof(raw))
		return -ENOENT;
	memcpy(
	    &raw, stream->data + section->offset + node->offset, sizeof(raw));
	*ret = be32toh(raw);
	return 0;
}
