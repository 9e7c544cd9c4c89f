/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu/vmdesc: what a stream says of its own sections, refused or believed.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "qemu/vmdesc.h"

static struct lf_error error;

Test(vmdesc, sizes_and_depth_are_limited)
{
	static const struct {
		const char *devices;
		const char *message;
	} cases[] = {
	    {"[{\"name\":\"a\",\"instance_id\":0,\"fields\":[{\"name\":\"f\","
	     "\"size\":268435456,\"array_len\":16}]}]",
		"more than 268435456 bytes"},
	    {"[{\"name\":\"a\",\"instance_id\":0,\"fields\":[{\"name\":\"f\","
	     "\"size\":-1}]}]",
		"no good 'size'"},
	    {"[{\"name\":\"a\",\"instance_id\":0,\"fields\":[{\"size\":1}]}]",
		"a field without a name"},
	    {"[{\"instance_id\":0}]", "a device without a name"},
	    {"[{\"name\":\"a\"}]", "no good 'instance_id'"},
	    {"[{\"name\":\"a\",\"instance_id\":0,\"subsections\":[{}]}]",
		"a subsection without a name"},
	    {"[]", "no devices"},
	};
	char text[65536], *p = text;
	struct vmdesc *vmdesc = NULL;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text),
		    "{\"page_size\":4096,\"devices\":%s}", cases[i].devices);
		cr_assert_lt(
		    vmdesc_parse(text, strlen(text), &vmdesc, &error), 0);
		cr_assert_not_null(strstr(error.message, cases[i].message),
		    "%s", error.message);
	}
	p += sprintf(p, "{\"page_size\":4096,\"devices\":[{\"name\":\"a\","
			"\"instance_id\":0");
	for (int i = 0; i < 40; i++)
		p += sprintf(p, ",\"fields\":[{\"name\":\"f\",\"size\":1,"
				"\"struct\":{\"x\":0");
	for (int i = 0; i < 40; i++)
		p += sprintf(p, "}}]");
	sprintf(p, "}]}");
	cr_assert_lt(vmdesc_parse(text, strlen(text), &vmdesc, &error), 0);
	cr_assert_not_null(
	    strstr(error.message, "32 levels"), "%s", error.message);
}

/* Who walks the elements would never come to an end. */
Test(vmdesc, many_elements_of_no_bytes_are_one)
{
	static const char text[] =
	    "{\"page_size\":4096,\"devices\":[{\"name\":\"a\","
	    "\"instance_id\":0,\"fields\":[{\"name\":\"f\",\"size\":0,"
	    "\"array_len\":268435456,\"struct\":{\"fields\":[]}}]}]}";
	struct vmdesc *vmdesc;

	cr_assert_eq(vmdesc_parse(text, sizeof(text) - 1, &vmdesc, &error), 0,
	    "%s", error.message);
	cr_assert_eq(vmdesc->devices[0].node_count, 1);
	cr_assert_eq(vmdesc->devices[0].nodes[0].count, 1);
	vmdesc_free(vmdesc);
}

/* A list of which QEMU describes one element has the right size. */
Test(vmdesc, what_does_not_add_up_is_opaque)
{
	static const char text[] =
	    "{\"page_size\":4096,\"devices\":[{\"name\":\"a\","
	    "\"instance_id\":0,\"fields\":[{\"name\":\"q\",\"type\":\"qtailq\","
	    "\"size\":12,\"vmsd_name\":\"e\",\"version\":1,\"fields\":"
	    "[{\"name\":\"f\",\"size\":4}],\"vmsd_name\":\"e\",\"version\":1,"
	    "\"fields\":[{\"name\":\"f\",\"size\":4}]}]}]}";
	struct vmdesc *vmdesc = NULL;

	cr_assert_eq(vmdesc_parse(text, strlen(text), &vmdesc, &error), 0, "%s",
	    error.message);
	cr_assert_eq(vmdesc->devices[0].size, 12);
	cr_assert_eq(vmdesc->devices[0].nodes[0].kind, VMDESC_FIELD);
	cr_assert_eq(vmdesc->devices[0].nodes[0].node_count, 0);
	vmdesc_free(vmdesc);
}
