/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The strings of `disk` and `vif`: fields with commas between them, some of
 * them KEY=VALUE.
 *
 *	disk: PATH,FORMAT,DEVICE,ACCESS
 *	      format=FORMAT, vdev=DEVICE, access=ACCESS, target=PATH
 *	vif:  type=TYPE, mac=MAC, restrict=SWITCH, forward=tcp:2222-22,
 *	      vifname=TAP
 *
 * As with xl, target= is the last and takes all that follows it, also commas;
 * fields without a key are those of the first form, in its order.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "config/values.h"
#include "config/xl.h"
#include "config/xl_lex.h"

static const struct value_choice formats[] = {
    {"raw", LF_DISK_RAW}, {"qcow2", LF_DISK_QCOW2}, {NULL, 0}};
static const struct value_choice accesses[] = {
    {"rw", false}, {"w", false}, {"ro", true}, {"r", true}, {NULL, 0}};
static const struct value_choice networks[] = {
    {"user", LF_NETWORK_USER}, {"tap", LF_NETWORK_TAP}, {NULL, 0}};
static const struct value_choice protocols[] = {
    {"tcp", LF_PROTOCOL_TCP}, {"udp", LF_PROTOCOL_UDP}, {NULL, 0}};

/* What a specification is read into, and where it stands. */
struct spec {
	struct xl *xl;
	const struct xl_key *key;
	const struct xl_value *value;
	struct lf_disk *disk;
	struct lf_network *network;
	bool has_type;
};

#define spec_fail(s, ...) xl_fail((s)->xl, (s)->key, (s)->value, __VA_ARGS__)

static char *
trim(char *text)
{
	char *end = text + strlen(text);

	while (isspace((unsigned char)*text))
		text++;
	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return text;
}

static int
set_text(const struct spec *s, const char *name, char **text, const char *value)
{
	if (*text != NULL)
		return spec_fail(s, "%s is given twice", name);
	return lf_domain_config_set(text, value, s->xl->source.error);
}

static int
choose(const struct spec *s, const char *name,
    const struct value_choice *choices, const char *value, unsigned *ret_value)
{
	char list[80];

	if (value_choose(choices, value, ret_value) == 0)
		return 0;
	value_list(choices, list, sizeof(list));
	return spec_fail(s, "%s '%.60s' is none of: %s", name, value, list);
}

static int
disk_target(struct spec *s, const char *value)
{
	return set_text(s, "target", &s->disk->path, value);
}

static int
disk_format(struct spec *s, const char *value)
{
	unsigned format;
	int rc = choose(s, "format", formats, value, &format);

	if (rc == 0)
		s->disk->format = format;
	return rc;
}

static int
disk_vdev(struct spec *s, const char *value)
{
	return set_text(s, "vdev", &s->disk->device, value);
}

static int
disk_access(struct spec *s, const char *value)
{
	unsigned read_only;
	int rc = choose(s, "access", accesses, value, &read_only);

	if (rc == 0)
		s->disk->read_only = read_only != 0;
	return rc;
}

static int
vif_type(struct spec *s, const char *value)
{
	unsigned type;
	int rc = choose(s, "type", networks, value, &type);

	s->has_type = true;
	if (rc == 0)
		s->network->type = type;
	return rc;
}

static int
vif_mac(struct spec *s, const char *value)
{
	if (lf_mac_parse(value, &s->network->mac) == 0)
		return 0;
	return spec_fail(
	    s, "'%.60s' is not a MAC address such as 52:54:00:12:34:56", value);
}

static int
vif_restrict(struct spec *s, const char *value)
{
	if (value_switch(value, &s->network->restrict_guest) == 0)
		return 0;
	return spec_fail(s, "restrict: '%.60s' is not a switch", value);
}

static int
vif_name(struct spec *s, const char *value)
{
	return set_text(s, "vifname", &s->network->interface, value);
}

static int
wrong_forward(const struct spec *s, const char *value)
{
	return spec_fail(s,
	    "'%.60s' does not forward a port, as tcp:2222-22 or "
	    "udp:127.0.0.1:5353-53 do",
	    value);
}

/* PROTOCOL:[ADDRESS:]HOSTPORT-GUESTPORT, in pieces of a copy. */
static int
vif_forward(struct spec *s, const char *value)
{
	struct lf_forward *forward = NULL;
	struct lf_error inner;
	uint64_t host_port, guest_port;
	char copy[64];
	char *address, *port, *dash;
	unsigned protocol;

	if (strlen(value) >= sizeof(copy))
		return wrong_forward(s, value);
	memcpy(copy, value, strlen(value) + 1);
	address = strchr(copy, ':');
	dash = strchr(copy, '-');
	if (address == NULL || dash == NULL)
		return wrong_forward(s, value);
	*address++ = '\0';
	*dash++ = '\0';
	port = strrchr(address, ':');
	if (port != NULL)
		*port++ = '\0';
	else
		port = address;
	if (value_choose(protocols, copy, &protocol) < 0 ||
	    value_number(port, UINT16_MAX, &host_port) < 0 ||
	    value_number(dash, UINT16_MAX, &guest_port) < 0)
		return wrong_forward(s, value);
	if (lf_network_add_forward(s->network, &forward, &inner) < 0)
		return inner.code == -ENOMEM
			   ? error_nomem(s->xl->source.error)
			   : spec_fail(s, "%s", inner.message);
	forward->protocol = protocol;
	forward->host_port = (uint16_t)host_port;
	forward->guest_port = (uint16_t)guest_port;
	if (port == address)
		return 0;
	return lf_domain_config_set(
	    &forward->address, address, s->xl->source.error);
}

struct spec_field {
	const char *name;
	int (*set)(struct spec *s, const char *value);
	bool takes_rest;
};

static const struct spec_field disk_fields[] = {
    {"target", disk_target, true}, /* the first four: without a key, too */
    {"format", disk_format, false},
    {"vdev", disk_vdev, false},
    {"access", disk_access, false},
    {NULL, NULL, false},
};

static const struct spec_field vif_fields[] = {
    {"type", vif_type, false},
    {"mac", vif_mac, false},
    {"restrict", vif_restrict, false},
    {"forward", vif_forward, false},
    {"vifname", vif_name, false},
    {NULL, NULL, false},
};

/* The field that `name` stands for; NULL when there is none. */
static const struct spec_field *
find_field(const struct spec_field *fields, const char *name)
{
	for (; fields->name != NULL; fields++)
		if (strcmp(fields->name, name) == 0)
			return fields;
	return NULL;
}

static int
unknown_field(
    const struct spec *s, const struct spec_field *fields, const char *name)
{
	char list[80] = "";

	for (; fields->name != NULL; fields++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list),
		    "%s%s", list[0] != '\0' ? ", " : "", fields->name);
	return spec_fail(
	    s, "unknown field '%.60s' (there are: %s)", name, list);
}

/*
 * One field, up to the next comma; `*text` moves behind it, NULL at the end.
 * `*position` is the number of fields without a key so far.
 */
static int
parse_field(struct spec *s, const struct spec_field *fields, size_t positional,
    size_t *position, char **text)
{
	char *value = *text;
	size_t name_len = strcspn(value, "=,");
	const struct spec_field *field;
	char *comma;

	if (value[name_len] == '=') {
		value[name_len] = '\0';
		field = find_field(fields, trim(value));
		if (field == NULL)
			return unknown_field(s, fields, trim(value));
		value += name_len + 1;
		if (field->takes_rest) {
			*text = NULL;
			value += strspn(value, " \t");
			return field->set(s, value);
		}
	} else if (*position < positional) {
		field = &fields[(*position)++];
	} else {
		return spec_fail(s, "'%.60s' is not KEY=VALUE", trim(value));
	}
	comma = strchr(value, ',');
	if (comma != NULL)
		*comma++ = '\0';
	*text = comma;
	value = trim(value);
	return value[0] != '\0' ? field->set(s, value) : 0;
}

static int
parse_spec(struct spec *s, const struct spec_field *fields, size_t positional)
{
	cleanup_free char *copy = sys.strdup(s->value->text);
	size_t position = 0;
	char *text = copy;
	int rc = 0;

	if (copy == NULL)
		return error_nomem(s->xl->source.error);
	if (copy[strspn(copy, " \t")] == '\0')
		return 0;
	while (rc == 0 && text != NULL)
		rc = parse_field(s, fields, positional, &position, &text);
	return rc;
}

int
xl_disk_set(
    struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	struct spec s = {.xl = xl, .key = key, .value = value};
	struct lf_error inner;

	if (lf_domain_config_add_disk(xl->config, &s.disk, &inner) < 0)
		return inner.code == -ENOMEM
			   ? error_nomem(xl->source.error)
			   : spec_fail(&s, "%s", inner.message);
	return parse_spec(&s, disk_fields, 4);
}

int
xl_vif_set(
    struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	struct spec s = {.xl = xl, .key = key, .value = value};
	struct lf_error inner;
	int rc;

	if (lf_domain_config_add_network(xl->config, &s.network, &inner) < 0)
		return inner.code == -ENOMEM
			   ? error_nomem(xl->source.error)
			   : spec_fail(&s, "%s", inner.message);
	rc = parse_spec(&s, vif_fields, 0);
	if (rc == 0 && !s.has_type && s.network->interface != NULL)
		s.network->type = LF_NETWORK_TAP;
	return rc;
}

static void
print_list(const struct xl_key *key, struct writer *w, bool opens)
{
	if (opens)
		xl_write_key(w, key->name);
	writer_bytes(w, opens ? "[\n" : "]\n", 2);
}

static void
print_element(struct writer *w, const char *text)
{
	writer_u8(w, '\t');
	xl_write_string(w, text);
	writer_bytes(w, ",\n", 2);
}

void
xl_disk_print(const struct xl_key *key, const struct lf_domain_config *config,
    struct writer *w)
{
	char text[LF_PATH_MAX + 64];

	for (size_t i = 0; i < config->disk_count; i++) {
		const struct lf_disk *disk = &config->disks[i];

		if (i == 0)
			print_list(key, w, true);
		snprintf(text, sizeof(text),
		    "format=%s%s%s, access=%s, target=%s",
		    value_word(formats, disk->format),
		    disk->device != NULL ? ", vdev=" : "",
		    disk->device != NULL ? disk->device : "",
		    value_word(accesses, disk->read_only), disk->path);
		print_element(w, text);
	}
	if (config->disk_count > 0)
		print_list(key, w, false);
}

/* At most: every forward "forward=udp:255.255.255.255:65535-65535, ". */
#define VIF_TEXT_MAX (LF_FORWARDS_MAX * 48 + 128)

__attribute__((format(printf, 2, 3))) static void
append(char *text, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, VIF_TEXT_MAX - used, format, args);
	va_end(args);
}

static void
vif_text(const struct lf_network *network, char text[VIF_TEXT_MAX])
{
	char mac[LF_MAC_STRING_SIZE];

	text[0] = '\0';
	append(text, "type=%s", value_word(networks, network->type));
	if (network->mac.set) {
		lf_mac_format(&network->mac, mac);
		append(text, ", mac=%s", mac);
	}
	if (network->restrict_guest)
		append(text, ", restrict=1");
	for (size_t i = 0; i < network->forward_count; i++) {
		const struct lf_forward *forward = &network->forwards[i];

		append(text,
		    ", forward=%s:", value_word(protocols, forward->protocol));
		if (forward->address != NULL)
			append(text, "%s:", forward->address);
		append(text, "%u-%u", forward->host_port, forward->guest_port);
	}
	if (network->interface != NULL)
		append(text, ", vifname=%s", network->interface);
}

void
xl_vif_print(const struct xl_key *key, const struct lf_domain_config *config,
    struct writer *w)
{
	char text[VIF_TEXT_MAX];

	for (size_t i = 0; i < config->network_count; i++) {
		if (i == 0)
			print_list(key, w, true);
		vif_text(&config->networks[i], text);
		print_element(w, text);
	}
	if (config->network_count > 0)
		print_list(key, w, false);
}
