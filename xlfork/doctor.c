/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xlfork/doctor.h"

int
doctor_run(FILE *stream, bool json, struct lf_error *error)
{
	struct findings findings;
	int rc;

	rc = findings_init(&findings, stream, json, error);
	if (rc < 0)
		return rc;
	check_kvm(&findings);
	check_programs(&findings);
	check_kernel(&findings);
	check_limits(&findings);
	rc = findings_print(&findings, error);
	findings_done(&findings);
	return rc;
}
