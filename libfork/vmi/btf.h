/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * BTF, the kernel's description of its own types: only what is needed to find
 * members of structures. Outside bytes. The format is told by the kernel's
 * Documentation/bpf/btf.rst.
 */
#ifndef VMI_BTF_H
#define VMI_BTF_H

#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>
#include <libfork/vmi.h>

/* A BTF blob of more bytes than this is none. */
#define BTF_MAX (64U << 20)

/* Bytes of the header that has to be read to know the length. */
#define BTF_HEADER_LEN 24U

struct btf;

/* The length of the blob that `header` begins, or -EBADMSG. */
int btf_length(
    const uint8_t *header, uint64_t *ret_len, struct lf_error *error);

/*
 * Indexes a blob; takes it over (freed with free(3), in any case). -EBADMSG.
 */
int btf_new(uint8_t *take_bytes, size_t len, struct btf **ret_btf,
    struct lf_error *error);

/* NULL is allowed. */
void btf_free(struct btf *btf);

/* As lf_kernel_member() and lf_kernel_type_size(). */
int btf_member(const struct btf *btf, const char *type, const char *member,
    struct lf_kernel_member *ret_member, struct lf_error *error);
int btf_type_size(const struct btf *btf, const char *type, uint32_t *ret_size,
    struct lf_error *error);

#endif
