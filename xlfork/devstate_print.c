/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tree and its JSON come from one walk each; differences are told element
 * by element, with the value of either side.
 */
#include "xlfork/devstate_print.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "xlfork/output.h"

#define LINE_WIDTH 79
#define INDENT     4
#define VALUE_MAX  24 /* "-9223372036854775808" */
#define DEPTH_MAX  64 /* deeper than any stream that is accepted */

/* A name of the file's, as far as a terminal should see it. */
static void
print_name(FILE *stream, const char *name)
{
	for (; *name != '\0'; name++)
		fputc((unsigned char)*name < ' ' || *name == 0x7f ? '?' : *name,
		    stream);
}

static const char *
value_text(const struct lf_devstate_item *item, uint32_t n, char buf[VALUE_MAX])
{
	uint64_t value = lf_devstate_integer(item, n);

	if (item->type[0] == 'i')
		snprintf(buf, VALUE_MAX, "%" PRId64, (int64_t)value);
	else if (strcmp(item->type, "bool") == 0 && value < 2)
		snprintf(buf, VALUE_MAX, "%s", value ? "true" : "false");
	else
		snprintf(buf, VALUE_MAX, "0x%" PRIx64, value);
	return buf;
}

/* "NAME[INDEX]" */
static int
print_path_end(FILE *stream, const struct lf_devstate_item *item)
{
	print_name(stream, item->name);
	return (int)strlen(item->name) +
	       (item->index >= 0 ? fprintf(stream, "[%" PRId32 "]", item->index)
				 : 0);
}

/* All elements of an array, on as many lines as it takes. */
static void
print_integers(FILE *stream, const struct lf_devstate_item *item, int column)
{
	const int indent = ((int)item->depth + 1) * INDENT;
	char buf[VALUE_MAX];
	uint32_t i;

	if (item->count != 1)
		column += fprintf(stream, "[%" PRIu32 "]", item->count);
	column += fprintf(stream, " =");
	for (i = 0; i < item->count; i++) {
		const char *text = value_text(item, i, buf);
		int len = (int)strlen(text);

		if (column + 1 + len > LINE_WIDTH && i > 0)
			column = fprintf(stream, "\n%*s", indent - 1, "") - 1;
		column += fprintf(stream, " %s", text);
	}
}

static int
print_item(void *opaque, const struct lf_devstate_item *item)
{
	FILE *stream = opaque;
	int column = (int)item->depth * INDENT;

	fprintf(stream, "%*s", column, "");
	column += print_path_end(stream, item);
	switch (item->kind) {
	case LF_DEVSTATE_SECTION:
		fprintf(stream, "[%" PRIu32 "], version %" PRIu32 ", %zu bytes",
		    item->instance_id, item->version, item->len);
		break;
	case LF_DEVSTATE_SUBSECTION:
		fprintf(
		    stream, ", subsection, version %" PRIu32, item->version);
		break;
	case LF_DEVSTATE_STRUCT:
		break;
	case LF_DEVSTATE_INTEGERS:
		print_integers(stream, item, column);
		break;
	case LF_DEVSTATE_OPAQUE:
		fprintf(stream, " = opaque, %zu bytes", item->len);
		break;
	}
	fputc('\n', stream);
	return ferror(stream) ? -EIO : 0;
}

int
devstate_print_tree(
    FILE *stream, const struct lf_devstate *devstate, struct lf_error *error)
{
	fputs("machine ", stream);
	print_name(stream, lf_devstate_machine(devstate));
	fputc('\n', stream);
	if (lf_devstate_walk(devstate, print_item, stream) < 0)
		return output_unwritten("the device state", error);
	return 0;
}

/* The arrays of "fields" that the walk is in, borrowed from the root. */
struct json_tree {
	json_t *fields[DEPTH_MAX + 1];
};

static json_t *
json_values(const struct lf_devstate_item *item)
{
	json_t *values = json_array();
	char buf[VALUE_MAX];
	uint32_t i;

	for (i = 0; i < item->count; i++)
		json_array_append_new(
		    values, json_string(value_text(item, i, buf)));
	return values;
}

static int
add_json_item(void *opaque, const struct lf_devstate_item *item)
{
	static const char *const kinds[] = {
	    [LF_DEVSTATE_SECTION] = "section",
	    [LF_DEVSTATE_STRUCT] = "struct",
	    [LF_DEVSTATE_SUBSECTION] = "subsection",
	    [LF_DEVSTATE_INTEGERS] = "integers",
	    [LF_DEVSTATE_OPAQUE] = "opaque",
	};
	struct json_tree *tree = opaque;
	json_t *fields = NULL;
	json_t *object = json_pack("{s:s, s:s, s:I}", "kind", kinds[item->kind],
	    "name", item->name, "bytes", (json_int_t)item->len);
	int rc = object == NULL ? -1 : 0;

	if (item->depth >= DEPTH_MAX)
		rc = -1;
	if (rc == 0 && item->type[0] != '\0')
		rc = json_object_set_new(
		    object, "type", json_string(item->type));
	if (rc == 0 && item->index >= 0)
		rc = json_object_set_new(
		    object, "index", json_integer(item->index));
	if (rc == 0 && item->kind == LF_DEVSTATE_SECTION)
		rc = json_object_set_new(
		    object, "instance", json_integer(item->instance_id));
	if (rc == 0 && (item->kind == LF_DEVSTATE_SECTION ||
			   item->kind == LF_DEVSTATE_SUBSECTION))
		rc = json_object_set_new(
		    object, "version", json_integer(item->version));
	if (rc == 0 && item->kind == LF_DEVSTATE_INTEGERS)
		rc = json_object_set_new(object, "values", json_values(item));
	else if (rc == 0 && item->kind != LF_DEVSTATE_OPAQUE)
		rc = json_object_set_new(
		    object, "fields", fields = json_array());
	if (rc == 0) {
		tree->fields[item->depth + 1] = fields;
		rc = json_array_append(tree->fields[item->depth], object);
	}
	json_decref(object);
	return rc < 0 ? -ENOMEM : 0;
}

static int
dump_json(FILE *stream, const json_t *root, struct lf_error *error)
{
	if (json_dumpf(root, stream, JSON_INDENT(3)) < 0 ||
	    fputc('\n', stream) == EOF)
		return output_unwritten("the JSON", error);
	return 0;
}

int
devstate_print_json(
    FILE *stream, const struct lf_devstate *devstate, struct lf_error *error)
{
	struct json_tree tree = {.fields = {json_array()}};
	json_t *root = json_pack("{s:s, s:o}", "machine",
	    lf_devstate_machine(devstate), "sections", tree.fields[0]);
	int rc;

	if (root == NULL)
		return error_nomem(error);
	if (lf_devstate_walk(devstate, add_json_item, &tree) < 0)
		rc = error_nomem(error);
	else
		rc = dump_json(stream, root, error);
	json_decref(root);
	return rc;
}

struct differences {
	FILE *stream;
	json_t *list; /* NULL: as text */
};

/* NULL: not there. */
static int
tell(struct differences *d, const char *path, const char *a, const char *b)
{
	json_t *row;

	if (d->list != NULL) {
		row = json_pack(
		    "{s:s, s:s?, s:s?}", "path", path, "a", a, "b", b);
		return json_array_append_new(d->list, row) < 0 ? -ENOMEM : 0;
	}
	print_name(d->stream, path);
	fprintf(d->stream, ": %s -> %s\n", a != NULL ? a : "not there",
	    b != NULL ? b : "not there");
	return ferror(d->stream) ? -EIO : 0;
}

/* What is said of one side where single elements are not compared. */
static const char *
summary(const struct lf_devstate_item *item, char *buf, size_t size)
{
	char value[VALUE_MAX];

	if (item == NULL)
		return NULL;
	if (item->kind == LF_DEVSTATE_SECTION)
		snprintf(buf, size, "version %" PRIu32, item->version);
	else if (item->kind == LF_DEVSTATE_OPAQUE)
		snprintf(buf, size, "opaque, %zu bytes", item->len);
	else if (item->count == 1)
		snprintf(buf, size, "%s", value_text(item, 0, value));
	else
		snprintf(buf, size, "%" PRIu32 " integers of %u bytes",
		    item->count, item->element_bytes);
	return buf;
}

static int
tell_opaque(struct differences *d, const char *path,
    const struct lf_devstate_item *a, const struct lf_devstate_item *b)
{
	size_t i, first = 0, count = 0;
	char left[64], right[128];

	for (i = 0; i < a->len; i++) {
		if (a->bytes[i] == b->bytes[i])
			continue;
		if (count++ == 0)
			first = i;
	}
	snprintf(right, sizeof(right),
	    "opaque, %zu bytes, of which %zu differ, the first at %zu", b->len,
	    count, first);
	return tell(d, path, summary(a, left, sizeof(left)), right);
}

static int
tell_elements(struct differences *d, const char *path,
    const struct lf_devstate_item *a, const struct lf_devstate_item *b)
{
	char element[1100], left[VALUE_MAX], right[VALUE_MAX];
	int rc = 0;
	uint32_t i;

	for (i = 0; i < a->count && rc == 0; i++) {
		if (lf_devstate_integer(a, i) == lf_devstate_integer(b, i))
			continue;
		snprintf(element, sizeof(element), "%s[%" PRIu32 "]", path, i);
		rc = tell(d, a->count > 1 ? element : path,
		    value_text(a, i, left), value_text(b, i, right));
	}
	return rc;
}

static int
tell_difference(void *opaque, const char *path,
    const struct lf_devstate_item *a, const struct lf_devstate_item *b)
{
	struct differences *d = opaque;
	char left[64], right[64];
	bool alike =
	    a != NULL && b != NULL && a->kind == b->kind && a->len == b->len;

	if (alike && a->kind == LF_DEVSTATE_INTEGERS && a->count == b->count)
		return tell_elements(d, path, a, b);
	if (alike && a->kind == LF_DEVSTATE_OPAQUE)
		return tell_opaque(d, path, a, b);
	return tell(d, path, summary(a, left, sizeof(left)),
	    summary(b, right, sizeof(right)));
}

int
devstate_print_differences(FILE *stream, const struct lf_devstate *a,
    const struct lf_devstate *b, bool json, struct lf_error *error)
{
	struct differences d = {.stream = stream};
	json_t *root = NULL;
	int count = 0, rc = 0;

	if (json) {
		d.list = json_array();
		root = json_pack("{s:o}", "differences", d.list);
		if (root == NULL)
			return error_nomem(error);
	}
	if (strcmp(lf_devstate_machine(a), lf_devstate_machine(b)) != 0) {
		rc = tell(&d, "machine", lf_devstate_machine(a),
		    lf_devstate_machine(b));
		count = 1;
	}
	if (rc == 0)
		rc = lf_devstate_compare(a, b, tell_difference, &d, error);
	if (rc == -EIO)
		rc = error_set(error, EIO, "cannot write the differences");
	else if (rc == -ENOMEM)
		rc = error_nomem(error);
	else if (rc >= 0)
		count += rc;
	if (rc >= 0 && json)
		rc = dump_json(stream, root, error);
	json_decref(root);
	return rc < 0 ? rc : count;
}
