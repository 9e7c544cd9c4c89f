/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Probes of domains: to the backend, if it has them.
 */
#include "domain/probe.h"

#include <errno.h>

#include "base/error.h"
#include "kvm/device.h"
#include "kvm/probe.h"
#include "memory/layer.h"

/* Probes are for forks that libfork runs itself, while they stand still. */
static int
check(const struct lf_domain *domain, struct lf_error *error)
{
	if (domain->backend->patch == NULL)
		return error_set(error, ENOTSUP,
		    "a domain on %s has no probes: only forks without device "
		    "model have them",
		    domain->backend->name);
	if (domain->state == LF_DOMAIN_RUNNING)
		return error_set(error, EBUSY,
		    "probes of a running domain cannot be changed: pause it "
		    "first");
	return 0;
}

int
domain_layer_new(
    struct lf_domain *domain, struct layer **ret_layer, struct lf_error *error)
{
	struct ram_image *image;
	int rc = check(domain, error);

	if (rc == 0)
		rc = domain->backend->get_image(domain, &image, error);
	return rc == 0 ? layer_new(image, ret_layer, error) : rc;
}

int
domain_set_layer(
    struct lf_domain *domain, struct layer *layer, struct lf_error *error)
{
	int rc = check(domain, error);

	return rc == 0 ? domain->backend->set_layer(domain, layer, error) : rc;
}

int
domain_find_place(struct lf_domain *domain, uint64_t gpa, uint32_t *ret_file,
    uint64_t *ret_offset, struct lf_error *error)
{
	int rc = check(domain, error);

	return rc == 0 ? domain->backend->find_place(
			     domain, gpa, ret_file, ret_offset, error)
		       : rc;
}

int
domain_patch(struct lf_domain *domain, uint32_t patch, enum domain_patch how,
    struct lf_error *error)
{
	int rc = check(domain, error);

	return rc == 0 ? domain->backend->patch(domain, patch, how, error) : rc;
}

size_t
domain_probe_insn(const uint8_t **ret_bytes)
{
	const struct kvm_device *device;

	/* A fork is there, so the device is. */
	if (kvm_device_get(&device, NULL) < 0)
		return 0;
	return probe_insn(device, ret_bytes);
}
