/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where in a file things were written, so that every error can point there,
 * also one that is found when the whole configuration is looked at.
 */
#ifndef CONFIG_SOURCE_H
#define CONFIG_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include <libfork/domain_config.h>
#include <libfork/error.h>

/* More than a configuration has keys and list elements. */
#define SOURCE_PLACES_MAX 160

struct source_place {
	const char *key;   /* the model's name for it, static */
	size_t index;      /* in a list */
	const char *shown; /* the file's name for it, static */
	unsigned line;
	unsigned column; /* 0: not known */
};

struct source {
	const char *file;
	struct lf_error *error;
	struct source_place places[SOURCE_PLACES_MAX];
	size_t count;
};

/* Notes where something was written; a later note replaces an earlier one. */
void source_note(struct source *source, const char *key, size_t index,
    const char *shown, unsigned line, unsigned column);

/* The error "FILE:LINE:COLUMN: KEY: ..."; `key` NULL is left out. -EINVAL. */
int source_fail(const struct source *source, unsigned line, unsigned column,
    const char *key, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/*
 * When everything is read: settles what depends on more than one key (firmware
 * with variables is flash, VNC wants a screen) where the file did not say, and
 * runs lf_domain_config_check(), its error put where the key was written.
 */
int source_finish(const struct source *source, struct lf_domain_config *config,
    bool has_firmware_type, bool has_video);

#endif
