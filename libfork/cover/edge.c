/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Edge coverage by next-branch probes. The vCPU stands somewhere in the code;
 * the next instruction that can leave the straight way is found, and a probe
 * armed there, in this fork alone. When it is hit the branch is taken by us
 * (cover/branch.h), and the search goes on where it leads. So every branch
 * costs one exit, there is one probe at a time, and nothing is single-stepped.
 *
 * Outside of the code the fork runs free. Probes at the code's entries, which
 * are armed in the layer, and at the addresses that calls out of the code
 * return to, bring it back.
 *
 *	state     armed                             left by
 *	outside   entries, pending returns          a hit at one of them
 *	inside    entries but those on the way,     a hit at the branch; other
 *	          the next branch                   hits: as from outside
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cover/branch.h"
#include "cover/code.h"
#include "cover/ways.h"
#include "vmi/probes.h"
#include "vmi/space.h"

/* Calls out of the code that may be under way at once; deeper ones are not
 * followed when they return. */
#define RETURNS_MAX 64

/* Entries that a straight way can lead through. */
#define LIFTED_MAX 8

/* Branches that are taken one after the other without running the vCPU. */
#define TAKEN_MAX 10000

struct edge {
	struct cover cover;
	struct cover_code code;
	struct cover_probes *probes;
	struct blocks *blocks;
	struct vmi_space space;
	int *entry_probes; /* of the blocks' entries */
	uint8_t *seen;

	struct ways ways;

	/* This run. */
	bool inside;
	struct way now;    /* inside: where the vCPU is going to */
	uint32_t previous; /* block; BLOCKS_NONE: came from outside */
	int lifted[LIFTED_MAX];
	unsigned lifted_count;
	struct {
		uint64_t rsp; /* when it has returned */
		int probe;
		uint32_t block;
	} returns[RETURNS_MAX];
	unsigned return_count;
};

/* --- counting --- */

static void
count_edge(struct edge *edge, uint32_t block)
{
	uint64_t hash = (edge->previous + 1ULL) * 0x9e3779b97f4a7c15ULL;
	uint8_t *byte;

	hash = (hash ^ (block + 1ULL)) * 0xff51afd7ed558ccdULL;
	hash ^= hash >> 32;
	byte = &edge->cover.map[hash % edge->cover.map_bytes];
	if (++*byte == 0)
		*byte = 1;
	edge->seen[block] = 1;
	edge->previous = block;
}

/*
 * The blocks on the way that was gone: those that begin at `from` and where
 * one falls into the next, up to `to`.
 */
static void
count_way(struct edge *edge, uint64_t from, uint64_t to)
{
	uint32_t block = blocks_around(edge->blocks, from);

	while (block != BLOCKS_NONE) {
		const struct cover_block *here =
		    blocks_get(edge->blocks, block);

		if (here->start >= from)
			count_edge(edge, block);
		else
			edge->previous = block;
		if (!here->falls || here->end > to)
			break;
		block = blocks_at(edge->blocks, here->end);
	}
}

/* --- arming --- */

static int
arm(struct edge *edge, int probe, bool armed, struct lf_error *error)
{
	return probe < 0
		   ? 0
		   : lf_probes_arm_here(edge->probes->set, (unsigned)probe,
			 armed, edge->cover.domain, error);
}

/* Entries between two addresses are no probes while the vCPU goes there. */
static int
lift_entries(
    struct edge *edge, uint64_t from, uint64_t to, struct lf_error *error)
{
	size_t count = blocks_entry_count(edge->blocks);
	size_t low = 0, high = count;
	int rc = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (blocks_entry(edge->blocks, middle) < from)
			low = middle + 1;
		else
			high = middle;
	}
	for (; rc == 0 && low < count && edge->lifted_count < LIFTED_MAX &&
	       blocks_entry(edge->blocks, low) < to;
	     low++) {
		edge->lifted[edge->lifted_count++] = edge->entry_probes[low];
		rc = arm(edge, edge->entry_probes[low], false, error);
	}
	return rc;
}

static int
put_back_entries(struct edge *edge, struct lf_error *error)
{
	int rc = 0;

	while (rc == 0 && edge->lifted_count > 0)
		rc = arm(edge, edge->lifted[--edge->lifted_count], true, error);
	return rc;
}

static int
go_outside(struct edge *edge, struct lf_error *error)
{
	unsigned i;
	int rc = put_back_entries(edge, error);

	edge->inside = false;
	for (i = 0; rc == 0 && i < edge->return_count; i++)
		rc = arm(edge, edge->returns[i].probe, true, error);
	return rc;
}

/* The fork comes back from outside. */
static int
come_in(struct edge *edge, uint64_t rsp, struct lf_error *error)
{
	unsigned i;
	int rc = 0;

	for (i = 0; rc == 0 && i < edge->return_count; i++)
		rc = arm(edge, edge->returns[i].probe, false, error);
	edge->previous = BLOCKS_NONE;
	/* What has returned: the stack is above it again. */
	while (edge->return_count > 0 &&
	       edge->returns[edge->return_count - 1].rsp <= rsp) {
		edge->return_count--;
		edge->previous = edge->returns[edge->return_count].block;
	}
	return rc;
}

/* Looks out for the fork to come back to `address`. */
static int
expect_return(
    struct edge *edge, uint64_t address, uint64_t rsp, struct lf_error *error)
{
	int rc;

	if (edge->return_count == RETURNS_MAX ||
	    !blocks_inside(edge->blocks, address))
		return 0;
	rc = probes_add(edge->probes->set, &edge->space, address, false, error);
	if (rc == -EXDEV || rc == -EEXIST || rc == -EFAULT)
		return 0;
	if (rc < 0)
		return rc;
	edge->returns[edge->return_count].rsp = rsp;
	edge->returns[edge->return_count].probe = rc;
	edge->returns[edge->return_count].block = edge->previous;
	edge->return_count++;
	return 0;
}

/* The vCPU executes the instruction at regs->rip by itself, outside. */
static int
step_outside(struct edge *edge, const struct lf_vcpu_regs *regs,
    const struct insn *insn, struct lf_error *error)
{
	int rc = 0;

	if (insn->flow == INSN_CALLS || insn->flow == INSN_TRAPS)
		rc = expect_return(
		    edge, regs->rip + insn->len, regs->rsp, error);
	return rc == 0 ? go_outside(edge, error) : rc;
}

/* --- following --- */

/* It jumped out: what it returns to, if that is in the code, is waited for. */
static int
leave_by_jump(
    struct edge *edge, const struct lf_vcpu_regs *regs, struct lf_error *error)
{
	uint64_t back;
	int rc = 0;

	if (vmi_space_read(&edge->space, regs->rsp, &back, 8, NULL) == 0)
		rc = expect_return(edge, back, regs->rsp + 8, error);
	return rc == 0 ? go_outside(edge, error) : rc;
}

/*
 * Takes the branch that the vCPU stands at: 1, or 0 when it has to execute it
 * by itself because it leads to where we do not look.
 */
static int
take(struct edge *edge, struct lf_vcpu_regs *regs)
{
	struct lf_vcpu_regs next = *regs;

	if (branch_take(&edge->now.insn, &edge->space, &next) == 0 ||
	    (edge->now.insn.flow == INSN_CALLS &&
		!blocks_inside(edge->blocks, next.rip)))
		return 0;
	*regs = next;
	return 1;
}

/* To the next branch, which is not where the vCPU stands. */
static int
go_on(
    struct edge *edge, const struct lf_vcpu_regs *regs, struct lf_error *error)
{
	uint64_t end = edge->now.pc + lf_probes_length(edge->probes->set);
	int rc;

	/* The way leads out, or there is no place for a probe: let it go. */
	if (edge->now.probe < 0) {
		count_way(edge, regs->rip, regs->rip);
		rc = go_outside(edge, error);
		end = regs->rip + 1;
	} else {
		edge->inside = true;
		rc = 0;
	}
	if (rc == 0)
		rc = lift_entries(edge, regs->rip, end, error);
	return rc == 0 && edge->inside ? arm(edge, edge->now.probe, true, error)
				       : rc;
}

/*
 * The vCPU is at regs->rip, in the code. Takes all branches that it stands at
 * and arms the next one, or lets it go outside. `counted`: it has come to a
 * branch, and the way there is counted.
 */
static int
proceed(struct edge *edge, struct lf_vcpu_regs *regs, bool counted,
    struct lf_error *error)
{
	uint64_t start = regs->rip;
	bool jumped = false;
	unsigned taken;
	int rc = 0;

	for (taken = 0;; taken++, counted = false) {
		if (!blocks_inside(edge->blocks, regs->rip)) {
			rc = jumped ? leave_by_jump(edge, regs, error)
				    : go_outside(edge, error);
			break;
		}
		rc = ways_find(&edge->ways, regs->rip, &edge->now, error);
		if (rc < 0)
			return rc;
		if (edge->now.pc != regs->rip || taken == TAKEN_MAX) {
			rc = go_on(edge, regs, error);
			break;
		}
		if (!counted)
			count_way(edge, regs->rip, regs->rip);
		if (!take(edge, regs)) {
			rc = step_outside(edge, regs, &edge->now.insn, error);
			if (rc == 0)
				rc = lift_entries(edge, regs->rip,
				    regs->rip + edge->now.insn.len, error);
			break;
		}
		jumped = edge->now.insn.kind != INSN_RET;
	}
	if (rc == 0 && (taken > 0 || regs->rip != start))
		rc = lf_vcpu_write_regs(edge->cover.domain, 0, regs, error);
	return rc;
}

static int
read_regs(struct edge *edge, struct lf_vcpu_regs *regs, struct lf_error *error)
{
	int rc = lf_vcpu_read_regs(edge->cover.domain, 0, regs, error);

	edge->space.mode.cr0 = regs->cr0;
	edge->space.mode.cr3 = regs->cr3;
	edge->space.mode.cr4 = regs->cr4;
	edge->space.mode.efer = regs->efer;
	return rc;
}

static bool
is_ours(const struct edge *edge, const struct lf_exit *exit)
{
	unsigned i;
	size_t e;
	int id = (int)exit->probe.id;

	if (edge->inside && id == edge->now.probe)
		return true;
	for (i = 0; i < edge->return_count; i++)
		if (edge->returns[i].probe == id)
			return true;
	for (e = 0; e < blocks_entry_count(edge->blocks); e++)
		if (edge->entry_probes[e] == id)
			return true;
	return false;
}

static int
edge_exit(struct cover *cover, const struct lf_exit *exit,
    struct cover_event *event, struct lf_error *error)
{
	struct edge *edge = (struct edge *)cover;
	struct lf_vcpu_regs regs;
	bool arrived;
	int rc;

	(void)event;
	if (exit->reason != LF_EXIT_PROBE || !is_ours(edge, exit))
		return COVER_PASS;
	rc = read_regs(edge, &regs, error);
	if (rc == 0)
		rc =
		    edge->inside ? arm(edge, edge->now.probe, false, error) : 0;
	if (rc == 0)
		rc = put_back_entries(edge, error);
	if (rc < 0)
		return rc;
	arrived = edge->inside && (int)exit->probe.id == edge->now.probe;
	edge->inside = false;
	if (arrived)
		count_way(edge, edge->now.from, edge->now.pc);
	else
		rc = come_in(edge, regs.rsp, error);
	if (rc == 0)
		rc = proceed(edge, &regs, arrived, error);
	return rc < 0 ? rc : COVER_GO_ON;
}

static int
edge_begin(struct cover *cover, struct lf_error *error)
{
	struct edge *edge = (struct edge *)cover;
	struct lf_vcpu_regs regs;
	int rc = read_regs(edge, &regs, error);

	edge->inside = false;
	edge->previous = BLOCKS_NONE;
	edge->return_count = 0;
	edge->lifted_count = 0;
	edge->now.probe = -1;
	cover->map[0] |= 1;
	if (rc < 0 || !blocks_inside(edge->blocks, regs.rip))
		return rc;
	return proceed(edge, &regs, false, error);
}

/*
 * A run that ends between two branches was on its way to the next: what it
 * executed of that way is told by where it stands.
 */
static int
edge_end(struct cover *cover, struct lf_error *error)
{
	struct edge *edge = (struct edge *)cover;
	struct lf_vcpu_regs regs;
	int rc;

	if (!edge->inside)
		return 0;
	rc = read_regs(edge, &regs, error);
	if (rc == 0 && regs.rip >= edge->now.from && regs.rip <= edge->now.pc)
		count_way(edge, edge->now.from, regs.rip);
	return rc;
}

/* --- attach --- */

static int
add_entries(struct edge *edge, struct lf_domain *domain, struct lf_error *error)
{
	size_t count = blocks_entry_count(edge->blocks), i;
	int rc = 0;

	edge->entry_probes = sys.calloc(count + 1, sizeof(*edge->entry_probes));
	if (edge->entry_probes == NULL)
		return error_nomem(error);
	for (i = 0; i < count && rc >= 0; i++) {
		rc = probes_add(edge->probes->set, &edge->space,
		    blocks_entry(edge->blocks, i), true, error);
		edge->entry_probes[i] = rc;
		/* One that cannot have a probe is no entry. */
		if (rc == -EXDEV || rc == -EEXIST || rc == -EFAULT)
			rc = 0;
	}
	if (rc >= 0)
		rc = lf_probes_show(edge->probes->set, domain, error);
	for (i = 0; i < count && rc >= 0; i++)
		if (edge->entry_probes[i] >= 0)
			rc = lf_probes_arm(edge->probes->set,
			    (unsigned)edge->entry_probes[i], true, NULL, error);
	return rc < 0 ? rc : 0;
}

static int
edge_attach(
    struct cover *cover, struct lf_domain *domain, struct lf_error *error)
{
	struct edge *edge = (struct edge *)cover;
	int rc;

	if (lf_snapshot_vcpus(lf_domain_origin(domain)) != 1)
		return error_set(error, ENOTSUP,
		    "edge coverage follows one vCPU, the guest has %u: use "
		    "block coverage",
		    lf_snapshot_vcpus(lf_domain_origin(domain)));
	if (edge->code.list_path != NULL)
		return error_set(error, EINVAL,
		    "edge coverage needs a range or a symbol, not a list of "
		    "blocks");
	rc = cover_probes_ready(edge->probes, domain, error);
	if (rc == 0)
		rc = cover_code_find(
		    &edge->code, domain, cover->vcpu, &edge->blocks, error);
	if (rc == 0)
		rc = vmi_space_init(&edge->space, domain, 0, error);
	if (rc == 0)
		rc = ways_init(&edge->ways, edge->blocks, &edge->space,
		    edge->probes->set, error);
	if (rc < 0)
		return rc;
	cover->map_bytes =
	    cover_code_map(cover->map_bytes, blocks_count(edge->blocks));
	edge->seen = sys.calloc(blocks_count(edge->blocks), 1);
	if (edge->seen == NULL)
		return error_nomem(error);
	return add_entries(edge, domain, error);
}

static void
edge_free(struct cover *cover)
{
	struct edge *edge = (struct edge *)cover;

	ways_done(&edge->ways);
	blocks_free(edge->blocks);
	free(edge->entry_probes);
	free(edge->seen);
	free(edge);
}

static const struct cover_ops edge_ops = {
    .name = "edge",
    .attach = edge_attach,
    .begin = edge_begin,
    .exit = edge_exit,
    .end = edge_end,
    .free = edge_free,
};

int
cover_edge_new(const struct cover_code *code, struct cover_probes *probes,
    uint8_t *map, size_t map_bytes, struct cover **ret_cover,
    struct lf_error *error)
{
	struct edge *edge;

	if (map_bytes < 2)
		return error_set(error, EINVAL,
		    "a coverage map of %zu bytes is too small", map_bytes);
	edge = sys.calloc(1, sizeof(*edge));
	if (edge == NULL)
		return error_nomem(error);
	edge->cover.ops = &edge_ops;
	edge->cover.map = map;
	edge->cover.map_bytes = map_bytes;
	edge->code = *code;
	edge->probes = probes;
	*ret_cover = &edge->cover;
	return 0;
}

const struct blocks *
cover_edge_blocks(const struct cover *cover)
{
	return ((const struct edge *)cover)->blocks;
}

const uint8_t *
cover_edge_seen(const struct cover *cover)
{
	return ((const struct edge *)cover)->seen;
}
