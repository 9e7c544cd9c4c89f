/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest-virtual memory of a stopped domain.
 */
#include "vmi/space.h"

#include <libfork/vcpu.h>

#include "base/error.h"

#define PAGE 4096UL

static int
read_physical(void *opaque, uint64_t gpa, void *buf, size_t len)
{
	return lf_memory_read(opaque, gpa, buf, len, NULL);
}

int
vmi_space_init(struct vmi_space *space, struct lf_domain *domain, unsigned vcpu,
    struct lf_error *error)
{
	struct lf_vcpu_regs regs;
	int rc = lf_vcpu_read_regs(domain, vcpu, &regs, error);

	if (rc < 0)
		return rc;
	space->domain = domain;
	space->mode = (struct walk_mode){
	    .cr0 = regs.cr0,
	    .cr3 = regs.cr3,
	    .cr4 = regs.cr4,
	    .efer = regs.efer,
	};
	return 0;
}

int
vmi_space_walk(const struct vmi_space *space, uint64_t gva,
    struct walk *ret_walk, struct lf_error *error)
{
	return walk_gva(
	    &space->mode, read_physical, space->domain, gva, ret_walk, error);
}

int
vmi_space_translate(const struct vmi_space *space, uint64_t gva,
    uint64_t *ret_gpa, uint64_t *ret_left, struct lf_error *error)
{
	struct walk walk;
	int rc = vmi_space_walk(space, gva, &walk, error);

	if (rc < 0)
		return rc;
	*ret_gpa = walk.gpa;
	if (ret_left != NULL)
		*ret_left = PAGE - gva % PAGE;
	return 0;
}

/* One page's part of a transfer. */
typedef int part_fn(struct lf_domain *domain, uint64_t gpa, uint8_t *bytes,
    size_t len, struct lf_error *error);

static int
each_part(const struct vmi_space *space, uint64_t gva, uint8_t *bytes,
    size_t len, part_fn *fn, struct lf_error *error)
{
	while (len > 0) {
		uint64_t gpa, left;
		int rc = vmi_space_translate(space, gva, &gpa, &left, error);

		if (rc < 0)
			return rc;
		if (left > len)
			left = len;
		rc = fn(space->domain, gpa, bytes, left, error);
		if (rc < 0)
			return rc;
		gva += left;
		bytes += left;
		len -= left;
	}
	return 0;
}

static int
read_part(struct lf_domain *domain, uint64_t gpa, uint8_t *bytes, size_t len,
    struct lf_error *error)
{
	return lf_memory_read(domain, gpa, bytes, len, error);
}

static int
write_part(struct lf_domain *domain, uint64_t gpa, uint8_t *bytes, size_t len,
    struct lf_error *error)
{
	return lf_memory_write(domain, gpa, bytes, len, error);
}

int
vmi_space_read(const struct vmi_space *space, uint64_t gva, void *buf,
    size_t len, struct lf_error *error)
{
	return each_part(space, gva, buf, len, read_part, error);
}

int
vmi_space_write(const struct vmi_space *space, uint64_t gva, const void *bytes,
    size_t len, struct lf_error *error)
{
	return each_part(space, gva, (uint8_t *)bytes, len, write_part, error);
}

int
vmi_space_read_text(const struct vmi_space *space, uint64_t gva, char *buf,
    size_t max, struct lf_error *error)
{
	size_t i;

	for (i = 0; i + 1 < max; i++) {
		int rc = vmi_space_read(space, gva + i, &buf[i], 1, error);

		if (rc < 0)
			return rc;
		if (buf[i] == '\0')
			return 0;
		if (buf[i] < ' ' || buf[i] > '~')
			buf[i] = '?';
	}
	buf[i] = '\0';
	return 0;
}
