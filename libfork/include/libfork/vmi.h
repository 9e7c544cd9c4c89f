/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking into a stopped guest. A Linux kernel is found in guest memory alone:
 * its symbols (the kallsyms tables that it keeps for itself), the layout of
 * its structures (BTF) and its log. No debug package and no help from the
 * guest is needed, and address randomisation does not matter.
 *
 * Guest memory is outside data: whatever is in it, these functions return an
 * error and nothing else happens. They expect a guest that stands; what a
 * running one changes meanwhile leads to errors or old data at worst.
 */
#ifndef LIBFORK_VMI_H
#define LIBFORK_VMI_H

#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>
#include <libfork/symbols.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a guest has RAM. */
struct lf_guest_range {
	uint64_t gpa;
	uint64_t length;
};

/* How guest-physical memory is read, and where it is. */
struct lf_guest_memory {
	void *opaque;
	/*
	 * Reads `len` bytes at `gpa`: 0, or -EFAULT where any of them is not
	 * RAM. Called from the thread that called libfork.
	 */
	int (*read)(void *opaque, uint64_t gpa, void *buf, size_t len);
	const struct lf_guest_range *ranges; /* sorted, no overlap */
	size_t range_count;
};

struct lf_kernel;

/*
 * Finds the running Linux kernel (x86-64, 4.20 or newer, with kallsyms) in
 * guest memory. `memory` is copied; what it points to is used until
 * lf_kernel_free(). All memory below the kernel is read once: about half a
 * second per GiB.
 *
 * -ENOENT: no kernel found, the message says what was missing.
 */
LF_API int lf_kernel_find(const struct lf_guest_memory *memory,
    struct lf_kernel **ret_kernel, struct lf_error *error);

struct lf_domain;

/*
 * The same in a fork or in a frozen domain, which must live as long as the
 * kernel and not run while the kernel is read. -EINVAL: it is neither.
 */
LF_API int lf_kernel_find_in(struct lf_domain *domain,
    struct lf_kernel **ret_kernel, struct lf_error *error);

/* Frees it and its symbols. NULL is allowed. */
LF_API void lf_kernel_free(struct lf_kernel *kernel);

/*
 * The kernel's own symbols, with the addresses it runs at, and those of its
 * modules where it has BTF; they live as long as `kernel`.
 */
LF_API const struct lf_symbols *lf_kernel_symbols(
    const struct lf_kernel *kernel);

/*
 * Reads guest-virtual memory as the kernel itself maps it, whatever page
 * table a vCPU has now; user addresses are not among it. -EFAULT: not mapped.
 */
LF_API int lf_kernel_read(const struct lf_kernel *kernel, uint64_t address,
    void *buf, size_t len, struct lf_error *error);

/* Where a member of one of the kernel's structures is. */
struct lf_kernel_member {
	uint32_t bit_offset; /* from the structure's begin */
	uint32_t bit_size;   /* of a bit-field; else of the whole member */
};

/*
 * A member of a structure or union by names ("task_struct", "comm"), also of
 * unnamed ones inside it; "a.b" goes into a named one. The kernel's BTF is
 * read at the first call. -ENOENT: no BTF in this kernel, no such structure,
 * no such member, the message says which. Not for two threads at once.
 */
LF_API int lf_kernel_member(struct lf_kernel *kernel, const char *type,
    const char *member, struct lf_kernel_member *ret_member,
    struct lf_error *error);

/* The size of a structure or union in bytes; errors as lf_kernel_member(). */
LF_API int lf_kernel_type_size(struct lf_kernel *kernel, const char *type,
    uint32_t *ret_size, struct lf_error *error);

/*
 * The end of the kernel's log, as dmesg(1) prints it: the last `max_lines`
 * records (0: all that are there), each a line "[    1.234567] text". The
 * caller frees the string. Control characters but line ends come out as '?'.
 * For kernels from 5.10 on. -ENOENT as lf_kernel_member(); -EBADMSG: the ring
 * buffer is damaged. Not for two threads at once.
 */
LF_API int lf_kernel_log(struct lf_kernel *kernel, size_t max_lines,
    char **ret_text, struct lf_error *error);

#ifdef __cplusplus
}
#endif

#endif
