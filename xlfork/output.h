/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables, trees and JSON on standard output. A table's text and its JSON come
 * from the same rows; the caller asks output_is_json() where a person and a
 * program want the value in different forms. A failed allocation is remembered
 * and told at the end, by output_print().
 */
#ifndef XLFORK_OUTPUT_H
#define XLFORK_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <libfork/error.h>

#include "base/cleanup.h"

enum output_kind {
	OUTPUT_TEXT,
	OUTPUT_NUMBER, /* to the right; a number in JSON */
	OUTPUT_TREE,   /* text with the tree's branches before it */
	OUTPUT_LONG,   /* text that is wrapped when the terminal is narrow */
};

struct output_column {
	const char *header; /* in JSON lower case, the member's name */
	enum output_kind kind;
	bool hidden; /* in this table it is not shown */
};

struct output;
struct output_line;

enum output_flags {
	OUTPUT_JSON = 1 << 0,
	OUTPUT_NO_HEADER = 1 << 1,
};

/*
 * A table; `name` is the array's name in JSON. Colours and the terminal's width
 * are used when `stream` is a terminal. NULL when out of memory.
 */
struct output *output_new(FILE *stream, const char *name,
    const struct output_column *columns, size_t count, unsigned flags);
void output_free(struct output *out);

bool output_is_json(const struct output *out);

/* A new line, below `parent` in a tree (NULL: at the top). */
struct output_line *output_line(struct output *out, struct output_line *parent);

/* Fills a cell; one that is never filled is empty, null in JSON. */
void output_cell(struct output *out, struct output_line *line, unsigned column,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Colour of a cell by name ("green"), where colours are wanted at all. */
void output_color(struct output *out, struct output_line *line, unsigned column,
    const char *color);

/* Prints the table and flushes the stream. */
int output_print(struct output *out, struct lf_error *error);

/* "256M", "1.5G": a size as people write it. */
#define OUTPUT_SIZE_MAX 16
const char *output_size(uint64_t bytes, char buf[OUTPUT_SIZE_MAX]);

DEFINE_CLEANUP(struct output *, output_free);
#define cleanup_output cleanup(output_free_p)

/* After a failed write to a stream: "cannot write WHAT: reason", -errno. */
int output_unwritten(const char *what, struct lf_error *error);

#endif
