/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configuration files. tests/data/config has files that pass, each with the
 * JSON form of what it means beside it (NAME.json), and files that fail, each
 * with the message (NAME.err). What is printed is parsed again, for those and
 * for random configurations.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config/config_file.h"
#include "config/values.h"

DEFINE_CLEANUP(struct lf_domain_config *, lf_domain_config_free);
#define cleanup_config cleanup(lf_domain_config_free_p)

static const char *
data_dir(void)
{
	static char path[PATH_MAX];

	cr_assert_not_null(getenv("top_srcdir"));
	snprintf(
	    path, sizeof(path), "%s/tests/data/config", getenv("top_srcdir"));
	return path;
}

/* A file's content with a NUL after it; the caller frees it. */
static char *
read_file(const char *name, const char *suffix, size_t *ret_len)
{
	char path[PATH_MAX + 512];
	char *text = calloc(1, CONFIG_FILE_MAX + 2);
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s%s", data_dir(), name, suffix);
	file = fopen(path, "re");
	cr_assert_not_null(file, "no %s", path);
	*ret_len = fread(text, 1, CONFIG_FILE_MAX + 1, file);
	fclose(file);
	return text;
}

static bool
is_config(const char *name, const char *prefix)
{
	const char *dot = strrchr(name, '.');

	return strncmp(name, prefix, strlen(prefix)) == 0 && dot != NULL &&
	       (strcmp(dot, ".cfg") == 0 || strcmp(dot, ".xml") == 0);
}

/* Calls `test` for every configuration file of that prefix. */
static void
for_each(const char *prefix, void (*test)(const char *name))
{
	DIR *dir = opendir(data_dir());
	struct dirent *entry;
	int count = 0;

	cr_assert_not_null(dir);
	while ((entry = readdir(dir)) != NULL)
		if (is_config(entry->d_name, prefix)) {
			test(entry->d_name);
			count++;
		}
	closedir(dir);
	cr_assert_gt(count, 10, "only %d files %s*", count, prefix);
}

static json_t *
json_of(const struct lf_domain_config *config)
{
	cleanup_free char *text = NULL;
	struct lf_error error = {0};
	json_t *json;

	cr_assert_eq(lf_domain_config_to_json(config, &text, &error), 0, "%s",
	    error.message);
	json = json_loads(text, 0, NULL);
	cr_assert_not_null(json);
	return json;
}

/* Printed in a syntax and parsed again, the configuration is the same. */
static void
assert_survives(const struct lf_domain_config *config,
    enum config_syntax syntax, const char *name)
{
	cleanup_config struct lf_domain_config *again = NULL;
	cleanup_free char *text = NULL;
	struct lf_error error = {0};
	json_t *before = json_of(config), *after;

	cr_assert_eq(config_print(config, syntax, &text, &error), 0, "%s: %s",
	    name, error.message);
	cr_assert_eq(config_syntax_of(text, strlen(text)), syntax);
	cr_assert_eq(config_parse(text, strlen(text), name, &again, &error), 0,
	    "%s\n%s", error.message, text);
	after = json_of(again);
	cr_assert(json_equal(before, after), "%s changed:\n%s", name, text);
	json_decref(before);
	json_decref(after);
}

static void
passes(const char *name)
{
	cleanup_config struct lf_domain_config *config = NULL;
	cleanup_free char *text = NULL;
	cleanup_free char *wanted_text = NULL;
	struct lf_error error = {0};
	json_t *wanted, *got;
	size_t len;

	text = read_file(name, "", &len);
	cr_assert_eq(config_parse(text, len, name, &config, &error), 0, "%s",
	    error.message);
	got = json_of(config);
	wanted_text = read_file(name, ".json", &len);
	wanted = json_loads(wanted_text, 0, NULL);
	if (!json_equal(wanted, got)) {
		char *got_text = json_dumps(got, JSON_INDENT(2));

		cr_expect_fail("%s means:\n%s", name, got_text);
		free(got_text);
	}
	json_decref(wanted);
	json_decref(got);
	assert_survives(config, CONFIG_SYNTAX_XL, name);
	assert_survives(config, CONFIG_SYNTAX_XML, name);
}

Test(config, files_mean_what_is_written_beside_them)
{
	for_each("pass-", passes);
}

static void
fails(const char *name)
{
	struct lf_domain_config *config = NULL;
	cleanup_free char *text = NULL;
	cleanup_free char *wanted = NULL;
	struct lf_error error = {0};
	size_t len;
	int rc;

	text = read_file(name, "", &len);
	rc = config_parse(text, len, name, &config, &error);
	cr_expect_eq(rc, -EINVAL, "%s: %d", name, rc);
	cr_expect_null(config);
	wanted = read_file(name, ".err", &len);
	wanted[strcspn(wanted, "\n")] = '\0';
	cr_expect_str_eq(error.message, wanted);
}

Test(config, wrong_files_are_refused_with_the_message_beside_them)
{
	for_each("fail-", fails);
}

/* What cannot well lie in a file, each with the message. */
Test(config, bytes_that_are_no_text_are_refused)
{
	static const struct {
		const char *text;
		size_t len;
		const char *message;
	} cases[] = {
#define CASE(text, message) {text, sizeof(text) - 1, message}
	    CASE("name = 'a\0b'\n",
		"f:1:10: a NUL byte; this is not a text file"),
	    CASE("name = a\r\n",
		"f:1:9: a carriage return; lines end with a line feed alone"),
	    CASE("name = a # \033[31m\n", "f:1:12: control character 0x1b"),
	    CASE(
		"name = \xff\n", "f:1:8: byte 0xff outside of a quoted string"),
	    CASE("\xef\xbb\xbfname = a\n",
		"f:1:1: a byte order mark; save the file without one"),
	    CASE("name = a\nkernel = '\xff'\n",
		"f:2:10: kernel: the path is not UTF-8"),
	    CASE("<domain><name>a\0b</name></domain>",
		"f:1:16: Char 0x0 out of allowed range"),
	    CASE("<domain><name>\xff</name></domain>",
		"f:1:15: Input is not proper UTF-8, indicate encoding !"),
	    CASE("<", "f:1:2: StartTag: invalid element name"),
	    CASE("", "f: name: a domain needs a name"),
#undef CASE
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lf_domain_config *config = NULL;
		struct lf_error error = {0};

		cr_expect_eq(config_parse(cases[i].text, cases[i].len, "f",
				 &config, &error),
		    -EINVAL, "%s", cases[i].text);
		cr_expect_str_eq(error.message, cases[i].message);
		lf_domain_config_free(config);
	}
}

/* `count` times `c` between two texts. */
static char *
repeated(const char *before, char c, size_t count, const char *after)
{
	size_t len = strlen(before);
	char *text = malloc(len + count + strlen(after) + 1);

	memcpy(text, before, len);
	memset(text + len, c, count);
	memcpy(text + len + count, after, strlen(after) + 1);
	return text;
}

Test(config, everything_has_a_limit)
{
	static const struct {
		const char *before;
		char c;
		size_t count;
		const char *after, *message;
	} cases[] = {
	    {"name = a\n#", '#', 16384, "\n",
		"f:2: a line of more than 16384 bytes"},
	    {"name = a", ' ', 17000, "\n",
		"f:1: a line of more than 16384 bytes"},
	    {"name = \"", 'a', 8192, "\"\n",
		"f:1:8: a string of more than 8191 bytes"},
	    {"name = ", 'a', 8192, "\n",
		"f:1:8: a word of more than 8191 bytes"},
	    {"name = \"", 'a', 65, "\"\n", "f:1:8: name: longer than 64 bytes"},
	    {"name = a\ndisk = ", '[', 9000, "\n",
		"f:2:9: disk: a list cannot be in a list"},
	    {"name = a\n", '\n', 1u << 20, "",
		"f: more than 1048576 bytes, too long for a configuration"},
	    {"<domain><name>", 'a', 100, "</name></domain>",
		"f:1: name: longer than 64 bytes"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_free char *text = repeated(cases[i].before, cases[i].c,
		    cases[i].count, cases[i].after);
		struct lf_domain_config *config = NULL;
		struct lf_error error = {0};

		cr_expect_eq(
		    config_parse(text, strlen(text), "f", &config, &error),
		    -EINVAL);
		cr_expect_str_eq(error.message, cases[i].message);
		lf_domain_config_free(config);
	}
}

Test(config, deeply_nested_xml_is_refused)
{
	cleanup_free char *text = calloc(1, 4 * 5000 + 1);
	struct lf_domain_config *config = NULL;
	struct lf_error error = {0};

	for (int i = 0; i < 5000; i++)
		memcpy(text + 3 * i, "<a>", 3);
	cr_assert_eq(
	    config_parse(text, strlen(text), "f", &config, &error), -EINVAL);
	cr_assert_not_null(
	    strstr(error.message, "Excessive depth"), "%s", error.message);
}

static unsigned random_state = 1;

static unsigned
any(unsigned below)
{
	random_state = random_state * 1103515245 + 12345;
	return (random_state >> 16) % below;
}

/* Anything that may stand in a text, also what either syntax has to quote. */
static void
any_text(char **field, const char *prefix, size_t max)
{
	static const char *const pieces[] = {"a", "Z", "0", " ", "'", "\"",
	    "\\", "&", "<", ">", "]]>", ",", "=", "[", "]", "#", ";", "%", "/",
	    "target=", "\xc3\xa9", "\xf0\x9f\x98\x80", "-", ":", "&lt;"};
	char text[128];

	snprintf(text, sizeof(text), "%s", prefix);
	for (unsigned i = 0; i < 1 + any(12); i++) {
		const char *piece =
		    pieces[any(sizeof(pieces) / sizeof(pieces[0]))];

		if (strlen(text) + strlen(piece) <= max)
			memcpy(text + strlen(text), piece, strlen(piece) + 1);
	}
	lf_domain_config_set(field, text, NULL);
}

static void
any_disk(struct lf_domain_config *config, unsigned i)
{
	static const char devices[LF_DISKS_MAX][4] = {"vda", "vdb", "vdc",
	    "vdd", "vde", "vdf", "vdg", "vdh", "vdi", "vdj", "vdk", "vdl"};
	struct lf_disk *disk;
	char prefix[16];

	lf_domain_config_add_disk(config, &disk, NULL);
	snprintf(prefix, sizeof(prefix), "/%u", i);
	any_text(&disk->path, prefix, 60);
	disk->format = any(2);
	disk->read_only = any(2) != 0;
	if (any(2))
		lf_domain_config_set(&disk->device, devices[i], NULL);
}

static void
any_network(struct lf_domain_config *config, unsigned i)
{
	struct lf_network *network;
	struct lf_forward *forward;

	lf_domain_config_add_network(config, &network, NULL);
	if (any(2)) {
		network->mac.set = true;
		network->mac.bytes[5] = (uint8_t)(16 * i + any(16));
	}
	if (any(2)) {
		network->type = LF_NETWORK_TAP;
		lf_domain_config_set(&network->interface, "tap0", NULL);
		return;
	}
	network->restrict_guest = any(2) != 0;
	for (unsigned k = 0; k < any(4); k++) {
		lf_network_add_forward(network, &forward, NULL);
		forward->protocol = any(2);
		forward->host_port = (uint16_t)(1000 * k + any(1000));
		forward->guest_port = (uint16_t)(1 + any(65535));
		if (any(2))
			lf_domain_config_set(
			    &forward->address, "192.168.17.1", NULL);
	}
}

static void
any_ends(struct lf_domain_config *config)
{
	config->serial.type = any(4);
	if (config->serial.type == LF_SERIAL_FILE ||
	    config->serial.type == LF_SERIAL_SOCKET)
		any_text(&config->serial.path, "/s", 60);
	config->graphics.type = any(2);
	config->video = any(2);
	if (config->graphics.type == LF_GRAPHICS_NONE)
		return;
	switch (any(3)) {
	case 0:
		any_text(&config->graphics.socket, "/v", 60);
		break;
	case 1:
		lf_domain_config_set(
		    &config->graphics.address, "0.0.0.0", NULL);
		config->graphics.port = (uint16_t)(5900 + any(59635));
		break;
	default:
		break;
	}
}

static struct lf_domain_config *
any_config(void)
{
	struct lf_domain_config *config = lf_domain_config_new();
	char *arg = NULL;

	lf_domain_config_set(&config->name, any(2) ? "a" : "Ab-1.x_+", NULL);
	for (unsigned i = 0; i < 16; i++) {
		config->uuid.bytes[i] = (uint8_t)any(256);
		config->vmgenid.value.bytes[i] = (uint8_t)any(256);
	}
	config->uuid.set = any(2) != 0;
	config->vmgenid.present = any(2) != 0;
	config->vmgenid.value.set = config->vmgenid.present && any(2) != 0;
	config->memory_bytes = (uint64_t)(1 + any(1 << 16)) << 20;
	config->vcpus = 1 + any(255);
	config->machine = any(2);
	config->accelerator = any(3);
	config->rng = any(2) != 0;
	if (any(2))
		lf_domain_config_set(&config->cpu,
		    any(3) == 0 ? "host" : "EPYC,+svm,-vmx,hv-time=on", NULL);
	if (any(2)) {
		any_text(&config->kernel, "/k", 60);
		if (any(2))
			any_text(&config->ramdisk, "/r", 60);
		if (any(2))
			any_text(&config->cmdline, "", 100);
	}
	config->firmware.type = any(3);
	if (config->firmware.type != LF_FIRMWARE_DEFAULT)
		any_text(&config->firmware.path, "/f", 60);
	if (config->firmware.type == LF_FIRMWARE_PFLASH && any(2))
		any_text(&config->firmware.nvram, "/n", 60);
	for (unsigned i = 0, n = any(LF_DISKS_MAX + 1); i < n; i++)
		any_disk(config, i);
	for (unsigned i = 0, n = any(LF_NETWORKS_MAX + 1); i < n; i++)
		any_network(config, i);
	any_ends(config);
	for (unsigned i = 0, n = any(5); i < n; i++) {
		any_text(&arg, "", 100);
		lf_domain_config_add_qemu_arg(config, arg, NULL);
	}
	free(arg);
	return config;
}

Test(config, random_configurations_survive_both_syntaxes)
{
	unsigned count = getenv("LF_SOAK") != NULL ? 20000 : 300;

	for (unsigned i = 0; i < count; i++) {
		cleanup_config struct lf_domain_config *config = any_config();
		struct lf_error error = {0};
		char name[32];

		snprintf(name, sizeof(name), "random-%u", i);
		cr_assert_eq(lf_domain_config_check(config, &error), 0,
		    "%s: %s", name, error.message);
		assert_survives(config, CONFIG_SYNTAX_XL, name);
		assert_survives(config, CONFIG_SYNTAX_XML, name);
	}
}

Test(config, what_cannot_be_parsed_is_not_printed)
{
	cleanup_config struct lf_domain_config *config = lf_domain_config_new();
	struct lf_error error = {0};
	char *text;

	cr_assert_eq(
	    config_print(config, CONFIG_SYNTAX_XL, &text, &error), -EINVAL);
	cr_assert_str_eq(error.message, "name: a domain needs a name");
	cr_assert_eq(
	    config_print(config, CONFIG_SYNTAX_XML, &text, &error), -EINVAL);
}

Test(config, relative_paths_start_at_the_current_directory)
{
	cleanup_config struct lf_domain_config *config = NULL;
	static const char text[] = "name = a\nkernel = 'k'\n"
				   "disk = [ 'd', '/absolute' ]\n";
	struct lf_error error;

	cr_assert_eq(
	    config_parse(text, sizeof(text) - 1, "f", &config, &error), 0);
	cr_assert_eq(chdir("/usr"), 0);
	cr_assert_eq(config_make_absolute(config, &error), 0);
	cr_assert_str_eq(config->kernel, "/usr/k");
	cr_assert_str_eq(config->disks[0].path, "/usr/d");
	cr_assert_str_eq(config->disks[1].path, "/absolute");
}

Test(config, a_file_that_cannot_be_read_is_named)
{
	struct lf_domain_config *config = NULL;
	struct lf_error error = {0};

	cr_assert_eq(
	    config_read("/nonexistent", &config, NULL, &error), -ENOENT);
	cr_assert_str_eq(
	    error.message, "/nonexistent: No such file or directory");
	cr_assert_eq(config_read("/", &config, NULL, &error), -EISDIR);
}

Test(config, sizes_have_units_and_a_range)
{
	uint64_t bytes;

	cr_assert_eq(value_size("512", 1 << 20, &bytes), 0);
	cr_assert_eq(bytes, 512 << 20);
	cr_assert_eq(value_size("2g", 1, &bytes), 0);
	cr_assert_eq(bytes, UINT64_C(2) << 30);
	cr_assert_eq(value_size("1KiB", 1, &bytes), 0);
	cr_assert_eq(bytes, 1024);
	cr_assert_eq(value_size("1x", 1, &bytes), -EINVAL);
	cr_assert_eq(value_size("1Mx", 1, &bytes), -EINVAL);
	cr_assert_eq(value_size("", 1, &bytes), -EINVAL);
	cr_assert_eq(value_size("-1", 1, &bytes), -EINVAL);
	cr_assert_eq(value_size("18446744073709551616", 1, &bytes), -ERANGE);
	cr_assert_eq(value_size("18014398509481984K", 1, &bytes), -ERANGE);
}

Test(config, the_nearest_word_counts_letters)
{
	cr_assert_eq(value_distance("memory", "memory"), 0);
	cr_assert_eq(value_distance("memroy", "memory"), 1);
	cr_assert_eq(value_distance("memry", "memory"), 1);
	cr_assert_eq(value_distance("vcpu", "vcpus"), 1);
	cr_assert_eq(value_distance("", "abc"), 3);
	cr_assert_eq(value_distance("abc", ""), 3);
}
