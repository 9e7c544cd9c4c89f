/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QEMU's memory tree and its list of RAM blocks: ranges that are accepted are
 * in order and do not overlap.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "qemu/mtree.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);
	struct ramblocks *blocks;
	struct mtree *mtree;
	struct lf_error error;
	size_t i;

	memcpy(text, data, len);
	text[len] = '\0';
	if (mtree_parse(text, &mtree, &error) == 0) {
		for (i = 1; i < mtree->count; i++)
			if (mtree->ranges[i].gpa - mtree->ranges[i - 1].gpa <
			    mtree->ranges[i - 1].length)
				abort();
		mtree_free(mtree);
	}
	if (ramblocks_parse(text, &blocks, &error) == 0)
		ramblocks_free(blocks);
	free(text);
	return 0;
}
