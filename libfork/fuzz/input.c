/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where inputs go. The buffer is looked up once, through the page tables of
 * the start point, to which every reset goes back.
 */
#include <endian.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"
#include "fuzz/session.h"

/* Larger inputs no fuzzer makes. */
#define INPUT_MAX (256UL << 20)

static uint64_t *
find_register(struct lf_vcpu_regs *regs, enum lf_fuzz_register number)
{
	static const size_t offsets[] = {
	    [LF_FUZZ_RAX] = offsetof(struct lf_vcpu_regs, rax),
	    [LF_FUZZ_RCX] = offsetof(struct lf_vcpu_regs, rcx),
	    [LF_FUZZ_RDX] = offsetof(struct lf_vcpu_regs, rdx),
	    [LF_FUZZ_RBX] = offsetof(struct lf_vcpu_regs, rbx),
	    [LF_FUZZ_RSP] = offsetof(struct lf_vcpu_regs, rsp),
	    [LF_FUZZ_RBP] = offsetof(struct lf_vcpu_regs, rbp),
	    [LF_FUZZ_RSI] = offsetof(struct lf_vcpu_regs, rsi),
	    [LF_FUZZ_RDI] = offsetof(struct lf_vcpu_regs, rdi),
	    [LF_FUZZ_R8] = offsetof(struct lf_vcpu_regs, r8),
	    [LF_FUZZ_R9] = offsetof(struct lf_vcpu_regs, r9),
	    [LF_FUZZ_R10] = offsetof(struct lf_vcpu_regs, r10),
	    [LF_FUZZ_R11] = offsetof(struct lf_vcpu_regs, r11),
	    [LF_FUZZ_R12] = offsetof(struct lf_vcpu_regs, r12),
	    [LF_FUZZ_R13] = offsetof(struct lf_vcpu_regs, r13),
	    [LF_FUZZ_R14] = offsetof(struct lf_vcpu_regs, r14),
	    [LF_FUZZ_R15] = offsetof(struct lf_vcpu_regs, r15),
	};

	if ((unsigned)number >= sizeof(offsets) / sizeof(offsets[0]))
		return NULL;
	return (uint64_t *)((char *)regs + offsets[number]);
}

/* Guest-virtual memory as the pieces it consists of; neighbours are joined. */
static int
find_pieces(const struct vmi_space *space, uint64_t address, size_t len,
    struct fuzz_piece *pieces, size_t *count, struct lf_error *error)
{
	*count = 0;
	while (len > 0) {
		struct fuzz_piece *last = pieces + *count - 1;
		uint64_t gpa, left;
		int rc =
		    vmi_space_translate(space, address, &gpa, &left, error);

		if (rc < 0)
			return rc;
		if (left > len)
			left = len;
		if (*count > 0 && last->gpa + last->length == gpa)
			last->length += left;
		else
			pieces[(*count)++] = (struct fuzz_piece){gpa, left};
		address += left;
		len -= left;
	}
	return 0;
}

/* What is mapped need not be memory; a byte of each page tells. */
static int
check_pieces(struct lf_domain *domain, const struct fuzz_piece *pieces,
    size_t count, struct lf_error *error)
{
	uint64_t gpa, end;
	uint8_t byte;
	int rc = 0;

	for (; rc == 0 && count > 0; pieces++, count--) {
		end = pieces->gpa + pieces->length;
		for (gpa = pieces->gpa; rc == 0 && gpa < end;
		     gpa = (gpa | 4095) + 1)
			rc = lf_memory_read(domain, gpa, &byte, 1, error);
	}
	return rc;
}

static int
find_buffer(struct lf_fuzz *fuzz, struct lf_error *error)
{
	struct fuzz_input *input = &fuzz->input;
	size_t pages = input->capacity / 4096 + 2;
	int rc;

	input->pieces = sys.calloc(pages, sizeof(*input->pieces));
	if (input->pieces == NULL)
		return error_nomem(error);
	rc = find_pieces(&fuzz->space, input->address, input->capacity,
	    input->pieces, &input->piece_count, error);
	if (rc == 0)
		rc = check_pieces(fuzz->space.domain, input->pieces,
		    input->piece_count, error);
	if (rc < 0)
		return error_prefix(error, rc,
		    "input buffer of %zu bytes at 0x%llx", input->capacity,
		    (unsigned long long)input->address);
	return 0;
}

static int
find_size(struct lf_fuzz *fuzz, struct lf_error *error)
{
	const struct lf_fuzz_options *options = &fuzz->options;
	struct fuzz_input *input = &fuzz->input;
	size_t count;
	int rc;

	input->size_register =
	    find_register(&fuzz->regs, options->size_register);
	if (options->size_bytes == 0)
		return 0;
	if (options->size_bytes != 4 && options->size_bytes != 8)
		return error_set(error, EINVAL,
		    "the input's size is written in 4 or 8 bytes, not %u",
		    options->size_bytes);
	rc = find_pieces(&fuzz->space, options->size_address,
	    options->size_bytes, input->size_pieces, &count, error);
	if (rc == 0)
		rc = check_pieces(
		    fuzz->space.domain, input->size_pieces, count, error);
	if (rc < 0)
		return error_prefix(error, rc, "input's size at 0x%llx",
		    (unsigned long long)options->size_address);
	input->size_bytes = options->size_bytes;
	return 0;
}

int
fuzz_input_init(struct lf_fuzz *fuzz, struct lf_error *error)
{
	const struct lf_fuzz_options *options = &fuzz->options;
	const uint64_t *pointer =
	    find_register(&fuzz->regs, options->input_register);
	struct fuzz_input *input = &fuzz->input;
	int rc;

	input->address = pointer != NULL ? *pointer : options->input_address;
	input->capacity = options->input_max;
	if (input->capacity == 0 || input->capacity > INPUT_MAX)
		return error_set(error, EINVAL,
		    "an input buffer of %zu bytes; 1 to %lu are possible",
		    input->capacity, INPUT_MAX);
	rc = find_buffer(fuzz, error);
	return rc == 0 ? find_size(fuzz, error) : rc;
}

void
fuzz_input_done(struct fuzz_input *input)
{
	free(input->pieces);
	input->pieces = NULL;
}

/* Writes `len` bytes, `skip` bytes into the pieces. */
static int
write_pieces(struct lf_domain *domain, const struct fuzz_piece *pieces,
    size_t skip, const uint8_t *bytes, size_t len, struct lf_error *error)
{
	for (; len > 0; pieces++) {
		size_t part = pieces->length - skip;
		int rc;

		if (skip >= pieces->length) {
			skip -= pieces->length;
			continue;
		}
		if (part > len)
			part = len;
		rc = lf_memory_write(
		    domain, pieces->gpa + skip, bytes, part, error);
		if (rc < 0)
			return rc;
		skip = 0;
		bytes += part;
		len -= part;
	}
	return 0;
}

int
fuzz_input_put(struct lf_fuzz *fuzz, const uint8_t *bytes, size_t len,
    struct lf_error *error)
{
	struct fuzz_input *input = &fuzz->input;
	const uint64_t size = htole64(input->prefix + len);
	int rc;

	rc = write_pieces(
	    fuzz->domain, input->pieces, input->prefix, bytes, len, error);
	if (rc == 0 && input->size_bytes > 0)
		rc = write_pieces(fuzz->domain, input->size_pieces, 0,
		    (const uint8_t *)&size, input->size_bytes, error);
	if (rc == 0 && input->size_register != NULL) {
		*input->size_register = input->prefix + len;
		rc = lf_vcpu_write_regs(
		    fuzz->domain, fuzz->vcpu, &fuzz->regs, error);
	}
	return rc;
}

size_t
lf_fuzz_input_max(const struct lf_fuzz *fuzz)
{
	return fuzz->input.capacity - fuzz->input.prefix;
}
