/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sets of probes: guest-virtual addresses turned into places in the image,
 * and the probe layer (memory/layer.h) behind them. A probe's number is its
 * patch's.
 */
#include <libfork/probe.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"
#include "domain/probe.h"
#include "memory/layer.h"
#include "vmi/probes.h"
#include "vmi/space.h"

/* Linux with split page tables: the kernel's root is the user's with this bit
 * of CR3 clear (arch/x86/entry/calling.h, PTI_USER_PGTABLE_BIT). */
#define PTI_USER_ROOT (1ULL << 12)

struct lf_probes {
	struct layer *layer;
	const uint8_t *insn;
	size_t insn_len;
};

int
lf_probes_new(struct lf_domain *domain, struct lf_probes **ret_probes,
    struct lf_error *error)
{
	struct lf_probes *probes = sys.calloc(1, sizeof(*probes));
	int rc;

	if (probes == NULL)
		return error_nomem(error);
	rc = domain_layer_new(domain, &probes->layer, error);
	if (rc < 0) {
		free(probes);
		return rc;
	}
	probes->insn_len = domain_probe_insn(&probes->insn);
	*ret_probes = probes;
	return 0;
}

void
lf_probes_free(struct lf_probes *probes)
{
	if (probes == NULL)
		return;
	layer_unref(probes->layer);
	free(probes);
}

size_t
lf_probes_length(const struct lf_probes *probes)
{
	return probes->insn_len;
}

/* As the CPU sees it or, in the upper half, as the kernel does. */
static int
translate(const struct vmi_space *space, uint64_t address, uint64_t *ret_gpa,
    struct lf_error *error)
{
	struct vmi_space kernel = *space;
	int rc = vmi_space_translate(space, address, ret_gpa, NULL, error);

	if (rc == 0 || (int64_t)address >= 0 ||
	    (space->mode.cr3 & PTI_USER_ROOT) == 0)
		return rc;
	kernel.mode.cr3 &= ~PTI_USER_ROOT;
	return vmi_space_translate(&kernel, address, ret_gpa, NULL, error);
}

int
probes_add(struct lf_probes *probes, const struct vmi_space *space,
    uint64_t address, bool shared, struct lf_error *error)
{
	uint64_t gpa, offset;
	uint32_t file;
	int rc;

	rc = translate(space, address, &gpa, error);
	if (rc == 0)
		rc = domain_find_place(
		    space->domain, gpa, &file, &offset, error);
	if (rc == 0)
		rc = layer_add(probes->layer, file, offset, probes->insn,
		    probes->insn_len, shared, error);
	return rc < 0
		   ? error_prefix(error, rc, "no probe at 0x%" PRIx64, address)
		   : rc;
}

int
lf_probes_add(struct lf_probes *probes, struct lf_domain *domain,
    uint64_t address, struct lf_error *error)
{
	struct vmi_space space;
	int rc = vmi_space_init(&space, domain, 0, error);

	return rc == 0 ? probes_add(probes, &space, address, true, error) : rc;
}

int
lf_probes_show(
    struct lf_probes *probes, struct lf_domain *domain, struct lf_error *error)
{
	return domain_set_layer(domain, probes->layer, error);
}

static int
check_id(const struct lf_probes *probes, unsigned id, struct lf_error *error)
{
	return id < layer_count(probes->layer)
		   ? 0
		   : error_set(error, EINVAL, "there is no probe %u", id);
}

int
lf_probes_arm(struct lf_probes *probes, unsigned id, bool armed,
    struct lf_domain *domain, struct lf_error *error)
{
	bool changed;
	int rc = check_id(probes, id, error);

	if (rc < 0)
		return rc;
	changed = layer_arm(probes->layer, id, armed);
	if (domain != NULL)
		rc = domain_patch(domain, id, DOMAIN_PATCH_FOLLOW, error);
	return rc < 0 ? rc : changed;
}

int
lf_probes_arm_here(struct lf_probes *probes, unsigned id, bool armed,
    struct lf_domain *domain, struct lf_error *error)
{
	int rc = check_id(probes, id, error);

	return rc == 0
		   ? domain_patch(domain, id,
			 armed ? DOMAIN_PATCH_ARM : DOMAIN_PATCH_LIFT, error)
		   : rc;
}
