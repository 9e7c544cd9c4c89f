/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kvm backend: a domain whose vCPUs this process runs itself, without a
 * device model.
 */
#include "domain/backend.h"

const struct domain_backend domain_backend_kvm = {
    .id = LF_BACKEND_KVM,
    .name = "kvm",
};
