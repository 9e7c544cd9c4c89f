/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Points where a run ends.
 */
#include "cover/points.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"
#include "vmi/crash_context.h"
#include "vmi/probes.h"
#include "vmi/space.h"

struct cover_points {
	struct cover cover;
	struct cover_ops ops; /* with the name */
	enum cover_verdict verdict;
	struct cover_probes *probes;
	size_t count;
	int *ids;
	struct cover_point points[];
};

static int
points_attach(
    struct cover *cover, struct lf_domain *domain, struct lf_error *error)
{
	struct cover_points *points = (struct cover_points *)cover;
	struct vmi_space space;
	size_t i;
	int rc = cover_probes_ready(points->probes, domain, error);

	if (rc == 0)
		rc = vmi_space_init(&space, domain, cover->vcpu, error);
	for (i = 0; rc >= 0 && i < points->count; i++) {
		rc = probes_add(points->probes->set, &space,
		    points->points[i].address, true, error);
		points->ids[i] = rc;
		if (rc < 0)
			rc = error_prefix(error, rc, "%s '%s'",
			    cover->ops->name, points->points[i].what);
	}
	if (rc >= 0)
		rc = lf_probes_show(points->probes->set, domain, error);
	for (i = 0; rc >= 0 && i < points->count; i++)
		rc = lf_probes_arm(points->probes->set,
		    (unsigned)points->ids[i], true, domain, error);
	return rc < 0 ? rc : 0;
}

static int
points_exit(struct cover *cover, const struct lf_exit *exit,
    struct cover_event *event, struct lf_error *error)
{
	struct cover_points *points = (struct cover_points *)cover;
	size_t i;

	(void)error;
	if (exit->reason != LF_EXIT_PROBE)
		return COVER_PASS;
	for (i = 0; i < points->count; i++) {
		const struct cover_point *point = &points->points[i];

		if (points->ids[i] != (int)exit->probe.id)
			continue;
		event->address = exit->probe.rip;
		event->context = point->context;
		crash_context_describe(cover->domain, exit->vcpu,
		    point->context, point->what, event->what,
		    sizeof(event->what));
		return points->verdict;
	}
	return COVER_PASS;
}

static void
points_free(struct cover *cover)
{
	struct cover_points *points = (struct cover_points *)cover;

	free(points->ids);
	free(points);
}

int
cover_points_new(const char *name, enum cover_verdict verdict,
    const struct cover_point *from, size_t count, struct cover_probes *probes,
    struct cover **ret_cover, struct lf_error *error)
{
	size_t bytes = count * sizeof(from[0]);
	struct cover_points *points = sys.calloc(1, sizeof(*points) + bytes);

	if (points == NULL)
		return error_nomem(error);
	points->ids = sys.calloc(count + 1, sizeof(*points->ids));
	if (points->ids == NULL) {
		free(points);
		return error_nomem(error);
	}
	memcpy(points->points, from, bytes);
	points->count = count;
	points->probes = probes;
	points->verdict = verdict;
	points->ops = (struct cover_ops){
	    .name = name,
	    .attach = points_attach,
	    .exit = points_exit,
	    .free = points_free,
	};
	points->cover.ops = &points->ops;
	*ret_cover = &points->cover;
	return 0;
}
