/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Chips in JSON, driven by the table of their fields.
 */
#include "snapshot/chips_json.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cpu/chips.h"
#include "snapshot/hex_json.h"

static json_t *
chip_write(const struct cpu_chips *chips, enum cpu_chip_index chip)
{
	json_t *object = json_object();
	size_t i;
	int r = 0;

	for (i = 0; i < cpu_chip_field_count && r == 0; i++) {
		const struct cpu_chip_field *field = &cpu_chip_fields[i];

		if (field->chip == chip)
			r = json_object_set_new(object, field->name,
			    hex_field_write((const char *)chips + field->offset,
				field->size));
	}
	if (r != 0) {
		json_decref(object);
		return NULL;
	}
	return object;
}

json_t *
chips_json_write(const struct cpu_chips *chips)
{
	json_t *object = json_object();
	unsigned i;
	int r = 0;

	for (i = 0; i < CPU_CHIP_COUNT && r == 0; i++)
		if (chips->chips & (1U << i))
			r = json_object_set_new(object,
			    cpu_chip_name((enum cpu_chip_index)i),
			    chip_write(chips, (enum cpu_chip_index)i));
	if (r != 0) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static int
chip_read(const json_t *object, enum cpu_chip_index chip,
    struct cpu_chips *chips, struct lf_error *error)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < cpu_chip_field_count && rc == 0; i++) {
		const struct cpu_chip_field *field = &cpu_chip_fields[i];

		if (field->chip == chip)
			rc = hex_field_read(
			    json_object_get(object, field->name), field->name,
			    (char *)chips + field->offset, field->size, error);
	}
	return rc;
}

int
chips_json_read(
    const json_t *object, struct cpu_chips **ret_chips, struct lf_error *error)
{
	cleanup_free struct cpu_chips *chips = sys.calloc(1, sizeof(*chips));
	unsigned i, found = 0;

	if (chips == NULL)
		return error_nomem(error);
	for (i = 0; i < CPU_CHIP_COUNT; i++) {
		const char *name = cpu_chip_name((enum cpu_chip_index)i);
		const json_t *chip = json_object_get(object, name);
		int rc;

		if (chip == NULL)
			continue;
		rc = chip_read(chip, (enum cpu_chip_index)i, chips, error);
		if (rc < 0)
			return error_prefix(error, rc, "chip '%s'", name);
		chips->chips |= 1U << i;
		found++;
	}
	if (!json_is_object(object) || found != json_object_size(object))
		return error_set(error, EBADMSG,
		    "'chips' is no object, or names an unknown chip");
	*ret_chips = take_ptr(chips);
	return 0;
}
