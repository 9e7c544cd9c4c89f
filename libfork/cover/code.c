/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What coverage by probes has in common.
 */
#include "cover/code.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "vmi/space.h"

void
cover_probes_done(struct cover_probes *probes)
{
	lf_probes_free(probes->set);
	probes->set = NULL;
}

int
cover_probes_ready(struct cover_probes *probes, struct lf_domain *domain,
    struct lf_error *error)
{
	return probes->set != NULL ? 0
				   : lf_probes_new(domain, &probes->set, error);
}

static bool
is_function(const struct lf_symbol *symbol)
{
	return symbol->type == 'T' || symbol->type == 't' ||
	       symbol->type == 'W' || symbol->type == 'w';
}

static bool
in_range(const struct blocks_spec *spec, uint64_t address)
{
	size_t i;

	for (i = 0; i < spec->range_count; i++)
		if (address >= spec->ranges[i].start &&
		    address < spec->ranges[i].end)
			return true;
	return false;
}

/* Counts the entries, or writes them down if there is somewhere to. */
static size_t
list_entries(const struct cover_code *code, uint64_t start, uint64_t *entries)
{
	size_t count = 0, i;
	struct lf_symbol symbol;

	if (entries != NULL)
		entries[count] = start;
	count++;
	for (i = 0; i < code->spec.range_count; i++, count++)
		if (entries != NULL)
			entries[count] = code->spec.ranges[i].start;
	for (i = 0;
	     code->symbols != NULL && i < lf_symbols_count(code->symbols);
	     i++) {
		lf_symbols_get(code->symbols, i, &symbol);
		if (!is_function(&symbol) ||
		    !in_range(&code->spec, symbol.address))
			continue;
		if (entries != NULL)
			entries[count] = symbol.address;
		count++;
	}
	return count;
}

int
cover_code_find(const struct cover_code *code, struct lf_domain *domain,
    unsigned vcpu, struct blocks **ret_blocks, struct lf_error *error)
{
	cleanup_free uint64_t *entries = NULL;
	struct vmi_space space;
	struct lf_vcpu_regs regs;
	size_t count;
	int rc;

	if (code->list_path != NULL)
		return blocks_read(
		    code->list_path, code->symbols, ret_blocks, error);
	if (code->spec.range_count == 0)
		return error_set(error, EINVAL,
		    "coverage of what? give a range, a symbol or a list of "
		    "blocks");
	rc = lf_vcpu_read_regs(domain, vcpu, &regs, error);
	if (rc == 0)
		rc = vmi_space_init(&space, domain, vcpu, error);
	if (rc < 0)
		return rc;
	count = list_entries(code, regs.rip, NULL);
	entries = sys.calloc(count, sizeof(*entries));
	if (entries == NULL)
		return error_nomem(error);
	list_entries(code, regs.rip, entries);
	return blocks_find(
	    &code->spec, entries, count, &space, ret_blocks, error);
}

/* Bytes that are used of any map, for as many as AFL's classic one has. */
#define MAP_USED_MIN (64UL << 10)

/* Branches are about twice as many as blocks; so there is room for either. */
#define MAP_BYTES_PER_BLOCK 2

size_t
cover_code_map(size_t given, size_t block_count)
{
	size_t used = MAP_USED_MIN;

	while (used < given && used / MAP_BYTES_PER_BLOCK < block_count)
		used *= 2;
	return used < given ? used : given;
}
