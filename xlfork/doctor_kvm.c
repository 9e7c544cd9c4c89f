/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What doctor says of KVM: libfork's host probe, as it is.
 */
#include "xlfork/doctor.h"

#include <libfork/host.h>

static enum grade
grade_of(enum lf_host_grade grade)
{
	switch (grade) {
	case LF_HOST_GOOD:
		return GRADE_GOOD;
	case LF_HOST_LIMITED:
		return GRADE_LIMITED;
	case LF_HOST_MISSING:
		break;
	}
	return GRADE_MISSING;
}

void
check_kvm(struct findings *findings)
{
	struct finding f = {.vital = false};
	struct lf_error error;
	struct lf_host host;
	size_t i;

	if (lf_host_probe(&host, &error) < 0) {
		finding_set(&f, GRADE_MISSING, "%s", error.message);
		findings_add(findings, "KVM", &f);
		return;
	}
	for (i = 0; i < LF_HOST_FACT_COUNT; i++) {
		finding_set(
		    &f, grade_of(host.fact[i].grade), "%s", host.fact[i].text);
		findings_add(findings, host.fact[i].name, &f);
	}
}
