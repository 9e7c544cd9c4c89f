/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keys of xl.cfg: how each is read and printed. Limits are not known here
 * but in lf_domain_config_check().
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "config/values.h"
#include "config/xl.h"
#include "config/xl_lex.h"

#define MIB (UINT64_C(1) << 20)

static const struct value_choice machines[] = {
    {"pc", LF_MACHINE_PC}, {"q35", LF_MACHINE_Q35}, {NULL, 0}};
static const struct value_choice accelerators[] = {
    {"auto", LF_ACCELERATOR_AUTO}, {"kvm", LF_ACCELERATOR_KVM},
    {"tcg", LF_ACCELERATOR_TCG}, {NULL, 0}};
static const struct value_choice firmware_types[] = {
    {"rom", LF_FIRMWARE_ROM}, {"pflash", LF_FIRMWARE_PFLASH}, {NULL, 0}};
static const struct value_choice videos[] = {{"none", LF_VIDEO_NONE},
    {"stdvga", LF_VIDEO_STD}, {"std", LF_VIDEO_STD}, {NULL, 0}};
static const struct value_choice guest_types[] = {{"hvm", 0}, {NULL, 0}};

static void *
field(const struct xl_key *key, const struct lf_domain_config *config)
{
	return (char *)config + key->offset;
}

static int
text_set(struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	char **text = field(key, xl->config);

	if (*text != NULL)
		return xl_fail(
		    xl, key, value, "given already, under another name");
	return lf_domain_config_set(text, value->text, xl->source.error);
}

static void
text_print(const struct xl_key *key, const struct lf_domain_config *config,
    struct writer *w)
{
	const char *text = *(char **)field(key, config);

	if (text == NULL)
		return;
	xl_write_key(w, key->name);
	xl_write_string(w, text);
	writer_u8(w, '\n');
}

static int
choose(struct xl *xl, const struct xl_key *key, const struct xl_value *value,
    unsigned *ret_value)
{
	char list[80];

	if (value_choose(key->opaque, value->text, ret_value) == 0)
		return 0;
	value_list(key->opaque, list, sizeof(list));
	return xl_fail(
	    xl, key, value, "'%.60s' is none of: %s", value->text, list);
}

static int
choice_set(
    struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	return choose(xl, key, value, field(key, xl->config));
}

static void
word_print(const struct xl_key *key, const char *word, struct writer *w)
{
	xl_write_key(w, key->name);
	xl_write_string(w, word);
	writer_u8(w, '\n');
}

/* The first enumerator is the default and not printed. */
static void
choice_print(const struct xl_key *key, const struct lf_domain_config *config,
    struct writer *w)
{
	unsigned value = *(unsigned *)field(key, config);

	if (value != 0)
		word_print(key, value_word(key->opaque, value), w);
}

static int
get_switch(struct xl *xl, const struct xl_key *key,
    const struct xl_value *value, bool *ret_on)
{
	if (value_switch(value->text, ret_on) == 0)
		return 0;
	return xl_fail(xl, key, value,
	    "'%.60s' is not a switch (on, off, true, false, yes, no, 1, 0)",
	    value->text);
}

static int
switch_set(
    struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	return get_switch(xl, key, value, field(key, xl->config));
}

static void
number_print(const struct xl_key *key, uint64_t number, struct writer *w)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%" PRIu64 "\n", number);

	xl_write_key(w, key->name);
	writer_bytes(w, text, (size_t)len);
}

static void
switch_print(const struct xl_key *key, const struct lf_domain_config *config,
    struct writer *w)
{
	if (*(bool *)field(key, config))
		number_print(key, 1, w);
}

static int
get_number(struct xl *xl, const struct xl_key *key,
    const struct xl_value *value, uint64_t max, uint64_t *ret_number)
{
	int rc = value_number(value->text, max, ret_number);

	if (rc == -ERANGE)
		return xl_fail(xl, key, value, "%.60s is more than %" PRIu64,
		    value->text, max);
	if (rc < 0)
		return xl_fail(
		    xl, key, value, "'%.60s' is not a number", value->text);
	return 0;
}

static int
type_set(struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	unsigned type;

	return choose(xl, key, value, &type);
}

static int
uuid_set(struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	if (lf_uuid_parse(value->text, &xl->config->uuid) == 0)
		return 0;
	return xl_fail(xl, key, value,
	    "'%.60s' is not a UUID such as "
	    "12345678-9abc-def0-1234-56789abcdef0",
	    value->text);
}

static void
print_uuid(
    const struct xl_key *key, const struct lf_uuid *uuid, struct writer *w)
{
	char text[LF_UUID_STRING_SIZE];

	lf_uuid_format(uuid, text);
	word_print(key, text, w);
}

static void
uuid_print(const struct xl_key *key, const struct lf_domain_config *config,
    struct writer *w)
{
	if (config->uuid.set)
		print_uuid(key, &config->uuid, w);
}

static int
memory_set(
    struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	int rc = value_size(value->text, MIB, &xl->config->memory_bytes);

	if (rc == -ERANGE)
		return xl_fail(
		    xl, key, value, "%.60s is too much", value->text);
	if (rc < 0)
		return xl_fail(xl, key, value,
		    "'%.60s' is not a size such as 512 (MiB), 512M or 2G",
		    value->text);
	return 0;
}

static void
memory_print(const struct xl_key *key, const struct lf_domain_config *config,
    struct writer *w)
{
	number_print(key, config->memory_bytes / MIB, w);
}

static int
vcpus_set(struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	uint64_t number;
	int rc = get_number(xl, key, value, LF_VCPUS_MAX, &number);

	if (rc == 0)
		xl->config->vcpus = (unsigned)number;
	return rc;
}

static void
vcpus_print(const struct xl_key *key, const struct lf_domain_config *config,
    struct writer *w)
{
	number_print(key, config->vcpus, w);
}

static int
firmware_type_set(
    struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	xl->has_firmware_type = true;
	return choice_set(xl, key, value);
}

/* Printed where the parser would take the other. */
static void
firmware_type_print(const struct xl_key *key,
    const struct lf_domain_config *config, struct writer *w)
{
	if (config->firmware.type == LF_FIRMWARE_PFLASH &&
	    config->firmware.nvram == NULL)
		choice_print(key, config, w);
}

/* "pty", "none", "file:PATH", "unix:PATH". */
static int
serial_set(
    struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	static const struct {
		const char *word;
		enum lf_serial_type type;
	} types[] = {
	    {"none", LF_SERIAL_NONE},
	    {"pty", LF_SERIAL_PTY},
	    {"file:", LF_SERIAL_FILE},
	    {"unix:", LF_SERIAL_SOCKET},
	};
	struct lf_serial *serial = &xl->config->serial;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		size_t len = strlen(types[i].word);

		if (strncmp(value->text, types[i].word, len) != 0)
			continue;
		serial->type = types[i].type;
		if (types[i].word[len - 1] == ':')
			return lf_domain_config_set(
			    &serial->path, value->text + len, xl->source.error);
		if (value->text[len] == '\0')
			return 0;
	}
	return xl_fail(xl, key, value,
	    "'%.60s' is none of: none, pty, file:PATH, unix:PATH", value->text);
}

static void
serial_print(const struct xl_key *key, const struct lf_domain_config *config,
    struct writer *w)
{
	char text[LF_PATH_MAX + 8];

	switch (config->serial.type) {
	case LF_SERIAL_PTY:
		break;
	case LF_SERIAL_NONE:
		word_print(key, "none", w);
		break;
	case LF_SERIAL_FILE:
	case LF_SERIAL_SOCKET:
		snprintf(text, sizeof(text), "%s:%s",
		    config->serial.type == LF_SERIAL_FILE ? "file" : "unix",
		    config->serial.path);
		word_print(key, text, w);
		break;
	}
}

static int
vnc_set(struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	bool on;
	int rc = get_switch(xl, key, value, &on);

	if (rc == 0)
		xl->config->graphics.type =
		    on ? LF_GRAPHICS_VNC : LF_GRAPHICS_NONE;
	return rc;
}

static void
vnc_print(const struct xl_key *key, const struct lf_domain_config *config,
    struct writer *w)
{
	if (config->graphics.type == LF_GRAPHICS_VNC)
		number_print(key, 1, w);
}

/* ADDRESS or ADDRESS:DISPLAY. */
static int
vnclisten_set(
    struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	struct lf_graphics *graphics = &xl->config->graphics;
	struct xl_value display = *value;
	char *colon = strchr(value->text, ':');
	uint64_t number = 0;
	int rc = 0;

	if (colon != NULL) {
		display.text = colon + 1;
		rc = get_number(
		    xl, key, &display, UINT16_MAX - LF_VNC_PORT_MIN, &number);
		if (rc < 0)
			return rc;
		graphics->port = (uint16_t)(LF_VNC_PORT_MIN + number);
		*colon = '\0';
	}
	rc = lf_domain_config_set(
	    &graphics->address, value->text, xl->source.error);
	if (graphics->port == 0)
		graphics->port = LF_VNC_PORT_MIN;
	return rc;
}

static int
vncdisplay_set(
    struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	struct lf_graphics *graphics = &xl->config->graphics;
	uint64_t number;
	int rc;

	rc = get_number(xl, key, value, UINT16_MAX - LF_VNC_PORT_MIN, &number);
	if (rc < 0)
		return rc;
	graphics->port = (uint16_t)(LF_VNC_PORT_MIN + number);
	if (graphics->address != NULL)
		return 0;
	return lf_domain_config_set(
	    &graphics->address, "127.0.0.1", xl->source.error);
}

static void
vncdisplay_print(const struct xl_key *key,
    const struct lf_domain_config *config, struct writer *w)
{
	if (config->graphics.address != NULL)
		number_print(key, config->graphics.port - LF_VNC_PORT_MIN, w);
}

static int
vga_set(struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	xl->has_video = true;
	return choice_set(xl, key, value);
}

/* Printed where the parser would take the other. */
static void
vga_print(const struct xl_key *key, const struct lf_domain_config *config,
    struct writer *w)
{
	bool vnc = config->graphics.type == LF_GRAPHICS_VNC;

	if ((config->video == LF_VIDEO_STD) != vnc)
		word_print(key, value_word(videos, config->video), w);
}

/* A switch or an id. */
static int
vmgenid_set(
    struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	struct lf_vmgenid *vmgenid = &xl->config->vmgenid;

	if (lf_uuid_parse(value->text, &vmgenid->value) == 0) {
		vmgenid->present = true;
		return 0;
	}
	if (value_switch(value->text, &vmgenid->present) == 0)
		return 0;
	return xl_fail(xl, key, value,
	    "'%.60s' is neither a switch (on, off) nor a UUID", value->text);
}

static void
vmgenid_print(const struct xl_key *key, const struct lf_domain_config *config,
    struct writer *w)
{
	if (config->vmgenid.value.set)
		print_uuid(key, &config->vmgenid.value, w);
	else if (config->vmgenid.present)
		number_print(key, 1, w);
}

static int
args_set(struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	struct lf_error inner;

	if (lf_domain_config_add_qemu_arg(xl->config, value->text, &inner) == 0)
		return 0;
	if (inner.code == -ENOMEM)
		return error_nomem(xl->source.error);
	return xl_fail(xl, key, value, "%s", inner.message);
}

static void
args_print(const struct xl_key *key, const struct lf_domain_config *config,
    struct writer *w)
{
	if (config->qemu_arg_count == 0)
		return;
	xl_write_key(w, key->name);
	writer_bytes(w, "[\n", 2);
	for (size_t i = 0; i < config->qemu_arg_count; i++) {
		writer_u8(w, '\t');
		xl_write_string(w, config->qemu_args[i]);
		writer_bytes(w, ",\n", 2);
	}
	writer_bytes(w, "]\n", 2);
}

#define KEY(key, model, set_fn, print_fn)                     \
	.name = (key), .model_key = (model), .set = (set_fn), \
	.print = (print_fn)
#define AT(member) .offset = offsetof(struct lf_domain_config, member)
#define TEXT(key, model, member)                                  \
	{                                                         \
		KEY(key, model, text_set, text_print), AT(member) \
	}
#define CHOICE(key, choices, member)                                          \
	{                                                                     \
		KEY(key, key, choice_set, choice_print), .opaque = (choices), \
							 AT(member)           \
	}

/* In the order in which they are printed. */
const struct xl_key xl_keys[] = {
    TEXT("name", "name", name),
    {KEY("type", NULL, type_set, NULL), .opaque = guest_types},
    {KEY("builder", NULL, type_set, NULL), .opaque = guest_types},
    {KEY("uuid", "uuid", uuid_set, uuid_print)},
    {KEY("memory", "memory", memory_set, memory_print)},
    {KEY("vcpus", "vcpus", vcpus_set, vcpus_print)},
    TEXT("cpu", "cpu", cpu),
    CHOICE("machine", machines, machine),
    CHOICE("accelerator", accelerators, accelerator),
    TEXT("kernel", "kernel", kernel),
    TEXT("ramdisk", "ramdisk", ramdisk),
    TEXT("cmdline", "cmdline", cmdline),
    {KEY("extra", "cmdline", text_set, NULL), AT(cmdline)},
    TEXT("firmware", "firmware", firmware.path),
    {KEY("firmware_type", "firmware", firmware_type_set, firmware_type_print),
	.opaque = firmware_types, AT(firmware.type)},
    TEXT("nvram", "firmware", firmware.nvram),
    {KEY("disk", "disks", xl_disk_set, xl_disk_print), .list = true},
    {KEY("vif", "networks", xl_vif_set, xl_vif_print), .list = true},
    {KEY("serial", "serial", serial_set, serial_print)},
    {KEY("vnc", "graphics", vnc_set, vnc_print)},
    TEXT("vncsocket", "graphics", graphics.socket),
    {KEY("vnclisten", "graphics", vnclisten_set, text_print),
	AT(graphics.address)},
    {KEY("vncdisplay", "graphics", vncdisplay_set, vncdisplay_print)},
    {KEY("vga", "video", vga_set, vga_print), .opaque = videos, AT(video)},
    {KEY("rng", "rng", switch_set, switch_print), AT(rng)},
    {KEY("vmgenid", "vmgenid", vmgenid_set, vmgenid_print)},
    {KEY("device_model_args", "qemu_args", args_set, args_print), .list = true},
};
const size_t xl_key_count = sizeof(xl_keys) / sizeof(xl_keys[0]);
