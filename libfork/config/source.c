/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Errors that point into a file.
 */
#include "config/source.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

static struct source_place *
find(const struct source *source, const char *key, size_t index)
{
	for (size_t i = 0; i < source->count; i++) {
		const struct source_place *place = &source->places[i];

		if (place->index == index && strcmp(place->key, key) == 0)
			return (struct source_place *)place;
	}
	return NULL;
}

void
source_note(struct source *source, const char *key, size_t index,
    const char *shown, unsigned line, unsigned column)
{
	struct source_place *place = find(source, key, index);

	if (place == NULL && source->count < SOURCE_PLACES_MAX)
		place = &source->places[source->count++];
	if (place != NULL)
		*place = (struct source_place){key, index, shown, line, column};
}

static int
fail(const struct source *source, unsigned line, unsigned column,
    const char *key, const char *why)
{
	char where[32] = "";

	if (line > 0 && column > 0)
		snprintf(where, sizeof(where), "%u:%u:", line, column);
	else if (line > 0)
		snprintf(where, sizeof(where), "%u:", line);
	return error_set(source->error, EINVAL, "%s:%s %s%s%s", source->file,
	    where, key != NULL ? key : "", key != NULL ? ": " : "", why);
}

int
source_fail(const struct source *source, unsigned line, unsigned column,
    const char *key, const char *format, ...)
{
	char why[LF_ERROR_MESSAGE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	return fail(source, line, column, key, why);
}

/* lf_domain_config_check(), its error put where the key was written. */
static int
check(const struct source *source, const struct lf_domain_config *config)
{
	const struct source_place *place;
	struct lf_error inner;
	const char *key;
	size_t index;

	if (lf_domain_config_check_at(config, &key, &index, &inner) == 0)
		return 0;
	place = find(source, key, index);
	if (place == NULL)
		return fail(source, 0, 0, key, inner.message);
	return fail(
	    source, place->line, place->column, place->shown, inner.message);
}

int
source_finish(const struct source *source, struct lf_domain_config *config,
    bool has_firmware_type, bool has_video)
{
	struct lf_firmware *firmware = &config->firmware;

	if (!has_firmware_type && firmware->path != NULL)
		firmware->type = firmware->nvram != NULL ? LF_FIRMWARE_PFLASH
							 : LF_FIRMWARE_ROM;
	if (!has_video && config->graphics.type == LF_GRAPHICS_VNC)
		config->video = LF_VIDEO_STD;
	return check(source, config);
}
