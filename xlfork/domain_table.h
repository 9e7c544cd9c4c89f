/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forkd's answers as people read them: the list of domains, one domain in
 * full, one event. Members that an answer lacks are left out, unknown ones are
 * ignored.
 */
#ifndef XLFORK_DOMAIN_TABLE_H
#define XLFORK_DOMAIN_TABLE_H

#include <stdio.h>

#include <jansson.h>
#include <libfork/error.h>

enum domain_table_flags {
	DOMAIN_TABLE_TREE = 1 << 0,
	DOMAIN_TABLE_JSON = 1 << 1,
};

/* The array "domains" of the answer to 'list'. */
int domain_table_print(FILE *stream, const json_t *domains, unsigned flags,
    struct lf_error *error);

/* The answer to 'info'. */
int domain_info_print(FILE *stream, const json_t *info, struct lf_error *error);

/* An event, as one line. */
void domain_event_print(FILE *stream, const json_t *event);

#endif
