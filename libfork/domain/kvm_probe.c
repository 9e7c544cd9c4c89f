/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Probes in a domain on the kvm backend: the layer's pages in its view, and
 * exits at them. A probe is found by where in the image it lies, so that it is
 * the same one through every mapping of its page.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "domain/backend.h"
#include "domain/kvm.h"
#include "kvm/probe.h"
#include "kvm/vcpu.h"
#include "memory/layer.h"

static int
find_place(const struct kvm_domain *kvm, uint64_t gpa, uint32_t *ret_file,
    uint64_t *ret_offset)
{
	const struct view_range *range = memory_view_find(kvm->view, gpa);

	if (range == NULL || range->first_page == VIEW_NO_PAGE)
		return -EFAULT;
	*ret_file = range->file;
	*ret_offset = range->offset + (gpa - range->gpa);
	return 0;
}

int
kvm_backend_find_place(struct lf_domain *domain, uint64_t gpa,
    uint32_t *ret_file, uint64_t *ret_offset, struct lf_error *error)
{
	if (find_place(domain->impl, gpa, ret_file, ret_offset) < 0)
		return error_set(error, EFAULT,
		    "guest-physical address 0x%" PRIx64
		    " is no memory of the snapshot",
		    gpa);
	return 0;
}

int
kvm_backend_get_image(struct lf_domain *domain, struct ram_image **ret_image,
    struct lf_error *error)
{
	const struct kvm_domain *kvm = domain->impl;

	(void)error;
	*ret_image = kvm->view->image;
	return 0;
}

/*
 * A page that the fork has changed since the snapshot cannot be shown from the
 * layer: what it wrote would be gone. After a reset no page is like that.
 */
static int
check_pages(struct kvm_domain *kvm, struct layer *layer, struct lf_error *error)
{
	size_t i;

	for (i = 0; i < kvm->set.count; i++) {
		const struct dirty_page *page = &kvm->set.pages[i];
		uint64_t offset;
		uint32_t file =
		    memory_view_place(kvm->view, page->page, &offset);

		if (layer_page(layer, file, offset) == NULL ||
		    layer_page(layer, file, offset) == page->source ||
		    memcmp(page->memory, page->source, PAGE_BYTES) == 0)
			continue;
		return error_set(error, EBUSY,
		    "the fork has written the page at 0x%" PRIx64
		    ", where a probe is to be: reset it first",
		    memory_view_page_gpa(kvm->view, page->page));
	}
	return 0;
}

int
kvm_backend_set_layer(
    struct lf_domain *domain, struct layer *layer, struct lf_error *error)
{
	struct kvm_domain *kvm = domain->impl;
	bool first = kvm->view->layer == NULL;
	unsigned i;
	int rc;

	rc = kvm_collect(kvm, error);
	if (rc == 0)
		rc = check_pages(kvm, layer, error);
	if (rc < 0)
		return rc;
	rc = memory_view_map_layer(kvm->view, layer, error);
	/* Also after a failure: some pages may be the layer's already. */
	dirty_set_rebase(&kvm->set);
	if (rc < 0)
		return rc;
	for (i = 0; first && rc == 0 && i < kvm->vcpu_count; i++)
		rc = probe_enable(vm_vcpu(kvm->vm, i), error);
	return rc;
}

int
kvm_backend_patch(struct lf_domain *domain, uint32_t number,
    enum domain_patch how, struct lf_error *error)
{
	struct kvm_domain *kvm = domain->impl;
	struct layer_patch patch;
	const uint8_t *bytes, *now;
	uint64_t gpa, first;
	bool armed;

	if (kvm->view->layer == NULL || number >= layer_count(kvm->view->layer))
		return error_set(error, EINVAL, "there is no probe %u", number);
	layer_get(kvm->view->layer, number, &patch);
	armed = how == DOMAIN_PATCH_ARM ||
		(how == DOMAIN_PATCH_FOLLOW && patch.armed);
	bytes = armed ? patch.bytes : patch.original;
	first = kvm->view->files[patch.file].first_page +
		((patch.offset - kvm->view->files[patch.file].offset) >>
		    PAGE_SHIFT);
	now = memory_view_page(kvm->view, first) + patch.offset % PAGE_BYTES;
	if (memcmp(now, bytes, patch.len) == 0)
		return 0;
	gpa = memory_view_page_gpa(kvm->view, first);
	if (gpa == UINT64_MAX)
		return 0;
	return dirty_set_write(&kvm->set, gpa + patch.offset % PAGE_BYTES,
	    bytes, patch.len, error);
}

int
kvm_probe_exit(struct kvm_domain *kvm, struct vcpu *vcpu, struct lf_exit *exit,
    struct lf_error *error)
{
	uint64_t gva = 0, gpa = 0, offset;
	uint32_t file, patch = LAYER_NONE;
	int rc = probe_exit(vcpu, exit, &gva, &gpa, error);

	if (rc <= 0)
		return rc;
	if (find_place(kvm, gpa, &file, &offset) == 0)
		patch = layer_find(kvm->view->layer, file, offset);
	if (patch == LAYER_NONE) {
		rc = probe_deliver(vcpu, exit, error);
		return rc > 0 ? KVM_PROBE_GO_ON : rc;
	}
	rc = probe_take_back(vcpu, gva, error);
	if (rc < 0)
		return rc;
	memset(exit, 0, sizeof(*exit));
	exit->reason = LF_EXIT_PROBE;
	exit->vcpu = vcpu_index(vcpu);
	exit->probe.id = patch;
	exit->probe.rip = gva;
	return 0;
}
