/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Device-state files. A file comes from a user and may change while it is
 * looked at, so it is copied first, never mapped.
 */
#include "qemu/devfile.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/devstate.h>

#include "base/error.h"
#include "base/sys.h"

void
devfile_free(struct devfile *file)
{
	if (file == NULL)
		return;
	stream_free(file->stream);
	free(file->data);
	free(file);
}

static int
read_all(int fd, struct devfile *file, struct lf_error *error)
{
	struct stat st;

	if (sys.fstat(fd, &st) < 0)
		return error_sys(error, errno, "cannot read the device state");
	if (!S_ISREG(st.st_mode))
		return error_set(
		    error, EINVAL, "the device state is no regular file");
	if (st.st_size == 0)
		return error_set(error, EBADMSG, "the device state is empty");
	if (st.st_size > LF_DEVSTATE_BYTES_MAX)
		return error_set(error, EFBIG,
		    "the device state has %lld bytes, at most %u are read",
		    (long long)st.st_size, LF_DEVSTATE_BYTES_MAX);
	file->data = sys.malloc((size_t)st.st_size);
	if (file->data == NULL)
		return error_nomem(error);
	while (file->len < (size_t)st.st_size) {
		ssize_t n = sys.pread(fd, (char *)file->data + file->len,
		    (size_t)st.st_size - file->len, (off_t)file->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(
			    error, errno, "cannot read the device state");
		if (n == 0)
			return error_set(error, EBADMSG,
			    "the device state became shorter while it was "
			    "read");
		file->len += (size_t)n;
	}
	return 0;
}

int
devfile_read(int fd, const struct stream *like, struct devfile **ret_file,
    struct lf_error *error)
{
	cleanup(devfile_free_p) struct devfile *file = NULL;
	int rc;

	file = sys.calloc(1, sizeof(*file));
	if (file == NULL)
		return error_nomem(error);
	rc = read_all(fd, file, error);
	if (rc == 0)
		rc = stream_parse(
		    file->data, file->len, like, &file->stream, error);
	if (rc < 0)
		return rc;
	*ret_file = take_ptr(file);
	return 0;
}

/*
 * What tells one instant of a machine from another: registers, and the clock
 * of the machine, which goes on while all vCPUs are halted. (Under KVM the TSC
 * in `cpu` does, too; TCG keeps none there.)
 */
static const struct {
	const char *section, *what;
	bool numbered;
} fingerprint[] = {
    {"cpu", "vCPU", true},
    {"timer", "the guest's clock", false},
};

static int
compare(const char *what, const struct stream *mine,
    const struct stream_section *a, const struct stream *other,
    const struct stream_section *b, struct lf_error *error)
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
	    "the device state is not of this snapshot: %s differs from "
	    "field '%s' on (byte %zu: 0x%02x there, 0x%02x here)",
	    what, field, i, y[i], x[i]);
}

static int
compare_all(size_t index, const struct stream *mine, const struct stream *other,
    struct lf_error *error)
{
	char what[64];
	size_t i;
	int rc = 0;

	for (i = 0; rc == 0 && i < mine->section_count; i++) {
		const struct stream_section *a = &mine->sections[i];

		if (strcmp(a->name, fingerprint[index].section) != 0)
			continue;
		snprintf(what, sizeof(what),
		    fingerprint[index].numbered ? "%s %u" : "%s",
		    fingerprint[index].what, a->instance_id);
		rc = compare(what, mine, a, other,
		    stream_find(other, a->name, a->instance_id), error);
	}
	return rc;
}

int
devfile_check(const struct stream *mine, const struct stream *other,
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

		if (stream_find(other, section->name, section->instance_id) ==
		    NULL)
			return error_set(error, EINVAL,
			    "the device state has no section '%s' (instance "
			    "%u): it is of another domain",
			    section->name, section->instance_id);
	}
	for (i = 0; i < other->section_count; i++)
		if (stream_find(mine, other->sections[i].name,
			other->sections[i].instance_id) == NULL)
			return error_set(error, EINVAL,
			    "the device state has a section '%s' (instance "
			    "%u), the snapshot has none",
			    other->sections[i].name,
			    other->sections[i].instance_id);
	for (i = 0; i < sizeof(fingerprint) / sizeof(fingerprint[0]); i++) {
		int rc = compare_all(i, mine, other, error);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int
devfile_get_u32(const struct stream *stream,
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
