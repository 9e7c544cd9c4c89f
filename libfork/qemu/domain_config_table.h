/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The configuration described once, as tables of fields: freeing, copying, the
 * JSON form and the comparison of a fork's configuration with its parent's all
 * walk them. A field whose type is not the one its row claims does not
 * compile.
 */
#ifndef QEMU_DOMAIN_CONFIG_TABLE_H
#define QEMU_DOMAIN_CONFIG_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include <libfork/domain_config.h>

enum config_kind {
	CONFIG_STRING,  /* char *, NULL: not given */
	CONFIG_PATH,    /* the same, an absolute path in the JSON form */
	CONFIG_STRINGS, /* char ** and a count */
	CONFIG_UUID,
	CONFIG_MAC,
	CONFIG_SIZE,     /* uint64_t, bytes */
	CONFIG_UNSIGNED, /* unsigned */
	CONFIG_PORT,     /* uint16_t */
	CONFIG_ENUM,     /* named by `names` */
	CONFIG_BOOL,
	CONFIG_STRUCT, /* described by `type` */
	CONFIG_LIST,   /* array of such, and a count */
};

/* What a fork's configuration may say, compared with its parent's. */
enum config_fork {
	CONFIG_FORK_FIXED,    /* the same */
	CONFIG_FORK_OPEN,     /* the same, or nothing: then it is inherited */
	CONFIG_FORK_ASK,      /* anything; nothing: it is inherited */
	CONFIG_FORK_PRESENCE, /* anything, but 0 only where the parent has 0 */
	CONFIG_FORK_FREE,     /* anything */
};

struct config_type;

struct config_field {
	const char *name;
	enum config_kind kind;
	enum config_fork fork;
	size_t offset;
	size_t count_offset; /* STRINGS, LIST: of its size_t */
	uint64_t max;        /* bytes of a string; elements; a number */
	const char *const *names;
	const struct config_type *type;
};

struct config_type {
	size_t size;
	const struct config_field *fields;
	size_t count;
};

/* struct lf_domain_config */
extern const struct config_type config_type;

/* Rows that code names. */
extern const char *const config_machine_names[];
extern const char *const config_accelerator_names[];
extern const char *const config_disk_format_names[];

/* Frees what a structure owns, not the structure. */
void config_type_done(const struct config_type *type, void *object);

/* Where in an outside object something is: "disks[1].path". */
struct config_place {
	const struct config_place *up;
	const char *name;
	size_t index; /* CONFIG_NO_INDEX: none */
};
#define CONFIG_NO_INDEX  SIZE_MAX
#define CONFIG_PLACE_MAX 128
void config_place_format(
    const struct config_place *place, char buf[CONFIG_PLACE_MAX]);

/* A field of an object as the type that its row says. */
static inline void *
config_at(const void *object, size_t offset)
{
	return (char *)object + offset;
}

static inline size_t *
config_count(const struct config_field *field, const void *object)
{
	return config_at(object, field->count_offset);
}

/*
 * Whether a field has no value: no text, no identity, an empty list, the first
 * enumerator. Numbers and switches always have one.
 */
bool config_is_empty(const struct config_field *field, const void *object);

/* Element `i` of a list. */
static inline void *
config_element(const struct config_field *field, const void *object, size_t i)
{
	/* GCC: void * may alias any pointer, other types may not. */
	char *base = *(void **)config_at(object, field->offset);

	return base + i * field->type->size;
}

#endif
