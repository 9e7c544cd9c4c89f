/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a kernel that was found (kernel_find.c): its memory, and its types.
 */
#include "vmi/kernel.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/sys.h"
#include "vmi/guest_memory.h"

/* How large the direct map may be. */
#define DIRECT_MAP_MAX (UINT64_C(1) << 46)

int
kernel_symbol(const struct lf_kernel *kernel, const char *name,
    uint64_t *ret_address, struct lf_error *error)
{
	struct lf_symbol symbol;
	int rc = lf_symbols_lookup(kernel->symbols, name, &symbol, error);

	if (rc == 0)
		*ret_address = symbol.address;
	return rc;
}

void
lf_kernel_free(struct lf_kernel *kernel)
{
	if (kernel == NULL)
		return;
	lf_symbols_free(kernel->symbols);
	btf_free(kernel->btf);
	free(kernel->own_ranges);
	free(kernel);
}

const struct lf_symbols *
lf_kernel_symbols(const struct lf_kernel *kernel)
{
	return kernel->symbols;
}

/* What is neither image nor direct map: through the kernel's page tables. */
static int
read_mapped(const struct lf_kernel *kernel, uint64_t address, void *buf,
    size_t len, struct lf_error *error)
{
	size_t got = 0;

	if (kernel->paging.cr3 != 0)
		got = walk_read(&kernel->paging, kernel->memory.read,
		    kernel->memory.opaque, address, buf, len);
	if (got < len)
		return error_set(error, EFAULT,
		    "guest kernel: 0x%llx is not mapped",
		    (unsigned long long)(address + got));
	return 0;
}

int
lf_kernel_read(const struct lf_kernel *kernel, uint64_t address, void *buf,
    size_t len, struct lf_error *error)
{
	uint64_t gpa;

	if (!kernel->has_image)
		return error_set(error, ENOENT,
		    "the guest kernel's image was not found: its kallsyms "
		    "hold no variables (CONFIG_KALLSYMS_ALL)");
	if (address >= kernel->image_start && address < kernel->image_end &&
	    len <= kernel->image_end - address)
		gpa = address + kernel->image_delta;
	else if (address >= kernel->direct_map &&
		 address - kernel->direct_map < DIRECT_MAP_MAX)
		gpa = address - kernel->direct_map;
	else
		return read_mapped(kernel, address, buf, len, error);
	return guest_memory_read(
	    &kernel->memory, "guest kernel", gpa, buf, len, error);
}

int
kernel_read_u64(const struct lf_kernel *kernel, uint64_t address,
    uint64_t *ret_value, struct lf_error *error)
{
	uint8_t bytes[8];
	int rc = lf_kernel_read(kernel, address, bytes, sizeof(bytes), error);

	if (rc == 0)
		*ret_value = get_le64(bytes);
	return rc;
}

static int
read_btf(struct lf_kernel *kernel, struct lf_error *error)
{
	uint8_t header[BTF_HEADER_LEN];
	cleanup_free uint8_t *bytes = NULL;
	uint64_t start = 0, stop = 0, len = 0;
	int rc;

	if (kernel_symbol(kernel, "__start_BTF", &start, NULL) < 0 ||
	    kernel_symbol(kernel, "__stop_BTF", &stop, NULL) < 0)
		return error_set(error, ENOENT,
		    "the guest kernel has no BTF (CONFIG_DEBUG_INFO_BTF)");
	rc = lf_kernel_read(kernel, start, header, sizeof(header), error);
	if (rc == 0)
		rc = btf_length(header, &len, error);
	if (rc < 0)
		return rc;
	if (stop < start || len > stop - start)
		return error_set(error, EBADMSG,
		    "BTF: 0x%llx bytes between __start_BTF and __stop_BTF, "
		    "0x%llx wanted",
		    (unsigned long long)(stop - start),
		    (unsigned long long)len);
	bytes = sys.malloc(len);
	if (bytes == NULL)
		return error_nomem(error);
	rc = lf_kernel_read(kernel, start, bytes, len, error);
	if (rc < 0)
		return rc;
	return btf_new(take_ptr(bytes), len, &kernel->btf, error);
}

int
lf_kernel_member(struct lf_kernel *kernel, const char *type, const char *member,
    struct lf_kernel_member *ret_member, struct lf_error *error)
{
	int rc = kernel->btf == NULL ? read_btf(kernel, error) : 0;

	return rc < 0
		   ? rc
		   : btf_member(kernel->btf, type, member, ret_member, error);
}

int
lf_kernel_type_size(struct lf_kernel *kernel, const char *type,
    uint32_t *ret_size, struct lf_error *error)
{
	int rc = kernel->btf == NULL ? read_btf(kernel, error) : 0;

	return rc < 0 ? rc : btf_type_size(kernel->btf, type, ret_size, error);
}
