/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest-virtual address space: the page tables that a vCPU of a stopped
 * domain uses, or used when the space was made, and memory seen through them.
 * Looking obeys no privilege level and no SMAP.
 */
#ifndef VMI_SPACE_H
#define VMI_SPACE_H

#include <stddef.h>
#include <stdint.h>

#include <libfork/domain.h>
#include <libfork/error.h>

#include "cpu/walk.h"

struct vmi_space {
	struct lf_domain *domain; /* borrowed */
	struct walk_mode mode;
};

/* The space of vCPU `vcpu` as it is now. */
int vmi_space_init(struct vmi_space *space, struct lf_domain *domain,
    unsigned vcpu, struct lf_error *error);

/*
 * The guest-physical address behind `gva`, and how many bytes follow it in the
 * same page (`ret_left` may be NULL). -EFAULT: not mapped, the message says
 * which entry is not there.
 */
int vmi_space_translate(const struct vmi_space *space, uint64_t gva,
    uint64_t *ret_gpa, uint64_t *ret_left, struct lf_error *error);

/* The same with the page's rights and the entries that lead to it. */
int vmi_space_walk(const struct vmi_space *space, uint64_t gva,
    struct walk *ret_walk, struct lf_error *error);

/* Over as many pages as it takes. -EFAULT: not all of it is mapped. */
int vmi_space_read(const struct vmi_space *space, uint64_t gva, void *buf,
    size_t len, struct lf_error *error);
int vmi_space_write(const struct vmi_space *space, uint64_t gva,
    const void *bytes, size_t len, struct lf_error *error);

/* Up to `max` - 1 bytes and a NUL; unprintable ones come out as '?'. */
int vmi_space_read_text(const struct vmi_space *space, uint64_t gva, char *buf,
    size_t max, struct lf_error *error);

#endif
