/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Points: addresses at which a run ends, as a crash (sinks) or in order
 * (stops), by probes that stay.
 */
#ifndef COVER_POINTS_H
#define COVER_POINTS_H

#include "cover/code.h"

struct cover_point {
	uint64_t address; /* guest-virtual, as at the start point */
	char what[64];    /* "panic", "0x401000" */
	/* Where the registers of what went wrong are (enum lf_sink_context). */
	unsigned context;
};

/*
 * A watcher that ends runs at these points (copied); `verdict` is COVER_STOP or
 * COVER_CRASH, `name` ("sink", "stop") static storage.
 */
int cover_points_new(const char *name, enum cover_verdict verdict,
    const struct cover_point *points, size_t count, struct cover_probes *probes,
    struct cover **ret_cover, struct lf_error *error);

#endif
