/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The configuration's life, its checks, its JSON form, and what a fork's may
 * say.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/domain_config.h>

#include "base/cleanup.h"
#include "base/sys.h"
#include "lib/fault.h"

DEFINE_CLEANUP(struct lf_domain_config *, lf_domain_config_free);
#define cleanup_config cleanup(lf_domain_config_free_p)

/* Every member is there, in the order in which it is printed. */
static const char full[] =
    "{\"name\":\"full-1\","
    "\"uuid\":\"12345678-9abc-def0-1234-56789abcdef0\","
    "\"memory\":5368709120,\"vcpus\":4,\"cpu\":\"EPYC,+svm\","
    "\"machine\":\"q35\",\"accelerator\":\"tcg\",\"kernel\":\"/boot/vmlinuz\","
    "\"ramdisk\":\"/boot/initrd\",\"cmdline\":\"console=ttyS0 quiet\","
    "\"firmware\":{\"type\":\"pflash\",\"path\":\"/fw/code\","
    "\"nvram\":\"/fw/vars\"},"
    "\"disks\":[{\"path\":\"/d/a\",\"format\":\"raw\",\"read_only\":false,"
    "\"device\":\"vdb\"},{\"path\":\"/d/b\",\"format\":\"qcow2\","
    "\"read_only\":true}],"
    "\"networks\":[{\"type\":\"user\",\"mac\":\"52:54:00:01:02:03\","
    "\"restrict\":true,\"forwards\":[{\"protocol\":\"tcp\","
    "\"address\":\"127.0.0.2\",\"host_port\":2222,\"guest_port\":22},"
    "{\"protocol\":\"udp\",\"host_port\":0,\"guest_port\":53}]},"
    "{\"type\":\"tap\",\"restrict\":false,\"interface\":\"tap0\"}],"
    "\"serial\":{\"type\":\"file\",\"path\":\"/log/serial\"},"
    "\"graphics\":{\"type\":\"vnc\",\"address\":\"127.0.0.1\",\"port\":5901},"
    "\"video\":\"std\",\"rng\":true,\"vmgenid\":{\"present\":true,"
    "\"value\":\"00000000-0000-0000-0000-000000000001\"},"
    "\"qemu_args\":[\"-msg\",\"timestamp=on\"]}";

static struct lf_domain_config *
from_json(const char *text)
{
	struct lf_domain_config *config = NULL;
	struct lf_error error = {0};
	int rc;

	rc = lf_domain_config_from_json(text, strlen(text), &config, &error);
	cr_assert_eq(rc, 0, "%s", error.message);
	return config;
}

/* Members are compared as values: integers in full, order aside. */
static void
assert_json_equal(const char *text, const char *wanted)
{
	json_t *a = json_loads(text, 0, NULL);
	json_t *b = json_loads(wanted, 0, NULL);

	cr_assert_not_null(a);
	cr_assert_not_null(b);
	cr_expect(json_equal(a, b), "got    %s\nwanted %s", text, wanted);
	json_decref(a);
	json_decref(b);
}

Test(domain_config, every_member_survives_json_and_copy)
{
	cleanup_config struct lf_domain_config *config = from_json(full);
	cleanup_config struct lf_domain_config *copy = NULL;
	cleanup_free char *text = NULL;
	cleanup_free char *text_of_copy = NULL;

	/* graphics.socket is the one member that excludes others. */
	cr_assert_eq(lf_domain_config_to_json(config, &text, NULL), 0);
	assert_json_equal(text, full);
	cr_assert_eq(lf_domain_config_copy(config, &copy, NULL), 0);
	lf_domain_config_free(take_ptr(config));
	cr_assert_eq(lf_domain_config_to_json(copy, &text_of_copy, NULL), 0);
	cr_assert_str_eq(text_of_copy, text);
}

Test(domain_config, what_is_left_out_has_its_default)
{
	cleanup_config struct lf_domain_config *config =
	    from_json("{\"name\":\"d\"}");

	cr_assert_eq(config->memory_bytes, 128 << 20);
	cr_assert_eq(config->vcpus, 1);
	cr_assert_eq(config->machine, LF_MACHINE_PC);
	cr_assert_eq(config->accelerator, LF_ACCELERATOR_AUTO);
	cr_assert_eq(config->serial.type, LF_SERIAL_PTY);
	cr_assert_eq(config->graphics.type, LF_GRAPHICS_NONE);
	cr_assert_eq(config->firmware.type, LF_FIRMWARE_DEFAULT);
	cr_assert_not(config->uuid.set);
}

Test(domain_config, json_from_outside_is_refused_by_name)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
	    {"{", "not a configuration in JSON: line 1: string or '}' "
		  "expected near end of file"},
	    {"[]", "not a JSON object"},
	    {"{\"name\":\"a\",\"name\":\"b\"}",
		"not a configuration in JSON: line 1: duplicate object key "
		"near '\"name\"'"},
	    {"{}", "name: a domain needs a name"},
	    {"{\"name\":1}", "name: not a string"},
	    {"{\"name\":\"a\\u0000b\"}",
		"not a configuration in JSON: line 1: \\u0000 is not allowed "
		"without JSON_ALLOW_NUL near '\"a\\u0000b\"'"},
	    {"{\"name\":\"17\"}", "name: '17' looks like a domain's id"},
	    {"{\"name\":\"a/b\"}",
		"name: 'a/b' may have letters, digits, '.', '_', '+' and '-' "
		"only, and begins with a letter or digit"},
	    {"{\"name\":\"a\",\"colour\":1}", "colour: unknown member"},
	    {"{\"name\":\"a\",\"memory\":-1}",
		"memory: not a number of 0 or more"},
	    {"{\"name\":\"a\",\"memory\":1000}",
		"memory: 1000 bytes are not from 1M to 4096G"},
	    {"{\"name\":\"a\",\"memory\":1048577}",
		"memory: 1048577 bytes are no multiple of 1M"},
	    {"{\"name\":\"a\",\"memory\":5497558138880}", "memory: too large"},
	    {"{\"name\":\"a\",\"vcpus\":0}", "vcpus: 0 is not from 1 to 255"},
	    {"{\"name\":\"a\",\"vcpus\":256}", "vcpus: too large"},
	    {"{\"name\":\"a\",\"vcpus\":1.0}",
		"vcpus: not a number of 0 or more"},
	    {"{\"name\":\"a\",\"machine\":\"isapc\"}", "machine: unknown word"},
	    {"{\"name\":\"a\",\"kernel\":\"boot\"}",
		"kernel: not an absolute path"},
	    {"{\"name\":\"a\",\"cmdline\":\"quiet\"}",
		"cmdline: only together with a kernel"},
	    {"{\"name\":\"a\",\"rng\":1}", "rng: not true or false"},
	    {"{\"name\":\"a\",\"uuid\":\"1\"}", "uuid: not a UUID"},
	    {"{\"name\":\"a\",\"disks\":{}}", "disks: not an array"},
	    {"{\"name\":\"a\",\"disks\":[7]}", "disks[0]: not an object"},
	    {"{\"name\":\"a\",\"disks\":[{}]}", "disks[0]: no path given"},
	    {"{\"name\":\"a\",\"disks\":[{\"path\":\"/a\",\"x\":1}]}",
		"disks[0].x: unknown member"},
	    {"{\"name\":\"a\",\"disks\":[{\"path\":\"/a\"},{\"path\":\"/a\"}]}",
		"disks[1]: '/a' is given twice and not read-only both times"},
	    {"{\"name\":\"a\",\"disks\":[{\"path\":\"/a\","
	     "\"device\":\"hda\"}]}",
		"disks[0]: device 'hda' is not from vda to vdl (disks are "
		"virtio-blk)"},
	    {"{\"name\":\"a\",\"networks\":[{\"mac\":\"01:00:00:00:00:01\"}]}",
		"networks[0]: 01:00:00:00:00:01 is a multicast address"},
	    {"{\"name\":\"a\",\"networks\":[{\"type\":\"tap\"}]}",
		"networks[0]: no tap named"},
	    {"{\"name\":\"a\",\"networks\":[{\"forwards\":[{\"host_port\":70000"
	     "}]}]}",
		"networks[0].forwards[0].host_port: too large"},
	    {"{\"name\":\"a\",\"networks\":[{\"forwards\":[{\"host_port\":7}]}]"
	     "}",
		"networks[0]: the guest has no port 0 to forward to"},
	    {"{\"name\":\"a\",\"firmware\":{\"type\":\"rom\",\"path\":\"/f\","
	     "\"nvram\":\"/v\"}}",
		"firmware: variables ('/v') need firmware of type pflash"},
	    {"{\"name\":\"a\",\"graphics\":{\"type\":\"vnc\",\"port\":80,"
	     "\"address\":\"127.0.0.1\"}}",
		"graphics: port 80 is below 5900"},
	    {"{\"name\":\"a\",\"graphics\":{\"type\":\"vnc\",\"port\":5900,"
	     "\"address\":\"localhost\"}}",
		"graphics: 'localhost' is not an IPv4 address such as "
		"127.0.0.1"},
	    {"{\"name\":\"a\",\"serial\":{\"type\":\"socket\"}}",
		"serial: no path given"},
	    {"{\"name\":\"a\",\"qemu_args\":[\"a\\nb\"]}",
		"qemu_args[0]: it has a control character"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lf_domain_config *config = NULL;
		struct lf_error error = {0};
		int rc;

		rc = lf_domain_config_from_json(
		    cases[i].text, strlen(cases[i].text), &config, &error);
		cr_expect_eq(rc, -EINVAL, "%s was accepted", cases[i].text);
		cr_expect_null(config);
		cr_expect_str_eq(error.message, cases[i].message);
	}
}

Test(domain_config, lists_have_their_limits)
{
	cleanup_config struct lf_domain_config *config = lf_domain_config_new();
	struct lf_error error;
	struct lf_disk *disk;

	for (int i = 0; i < LF_DISKS_MAX; i++)
		cr_assert_eq(lf_domain_config_add_disk(config, &disk, NULL), 0);
	cr_assert_eq(lf_domain_config_add_disk(config, &disk, &error), -E2BIG);
	cr_assert_str_eq(error.message, "more than 12 disks");
	cr_assert_eq(config->disk_count, LF_DISKS_MAX);
	lf_domain_config_set(&config->name, "a", NULL);
	config->disk_count++; /* as a careless caller would */
	cr_assert_eq(lf_domain_config_check(config, &error), -EINVAL);
	cr_assert_str_eq(error.message, "disks[0]: 13 disks, more than 12");
	config->disk_count--;
}

Test(domain_config, enumerators_that_do_not_exist_are_refused)
{
	cleanup_config struct lf_domain_config *config = lf_domain_config_new();
	struct lf_error error;

	lf_domain_config_set(&config->name, "a", NULL);
	config->graphics.type = 7;
	cr_assert_eq(lf_domain_config_check(config, &error), -EINVAL);
	cr_assert_str_eq(
	    error.message, "graphics: type has the unknown value 7");
}

/* For who has the place of each key, and says the key by that. */
Test(domain_config, what_is_wrong_can_be_told_apart_from_its_message)
{
	cleanup_config struct lf_domain_config *config =
	    from_json("{\"name\":\"a\",\"disks\":[{\"path\":\"/a\"},"
		      "{\"path\":\"/b\"}]}");
	struct lf_error error;
	const char *key = NULL;
	size_t index = 7;

	cr_assert_eq(
	    lf_domain_config_check_at(config, &key, &index, &error), 0);
	lf_domain_config_set(&config->disks[1].device, "hda", NULL);
	cr_assert_eq(
	    lf_domain_config_check_at(config, &key, &index, &error), -EINVAL);
	cr_assert_str_eq(key, "disks");
	cr_assert_eq(index, 1);
	cr_assert_str_eq(error.message,
	    "device 'hda' is not from vda to vdl (disks are virtio-blk)");
	config->vcpus = 0;
	cr_assert_eq(
	    lf_domain_config_check_at(config, &key, &index, NULL), -EINVAL);
	cr_assert_str_eq(key, "vcpus");
	cr_assert_eq(index, 0);
}

Test(domain_config, enumerators_have_the_names_of_configurations)
{
	cr_assert_str_eq(lf_machine_name(LF_MACHINE_PC), "pc");
	cr_assert_str_eq(lf_machine_name(LF_MACHINE_Q35), "q35");
	cr_assert_str_eq(lf_accelerator_name(LF_ACCELERATOR_AUTO), "auto");
	cr_assert_str_eq(lf_accelerator_name(LF_ACCELERATOR_KVM), "kvm");
	cr_assert_str_eq(lf_accelerator_name(LF_ACCELERATOR_TCG), "tcg");
	cr_assert_str_eq(lf_disk_format_name(LF_DISK_RAW), "raw");
	cr_assert_str_eq(lf_disk_format_name(LF_DISK_QCOW2), "qcow2");
}

Test(domain_config, bytes_that_are_not_utf8_are_refused)
{
	/* Overlong, surrogate, above U+10FFFF, cut, lone continuation. */
	static const char *const wrong[] = {"\xc0\xaf", "\xed\xa0\x80",
	    "\xf4\x90\x80\x80", "\xe2\x82", "\x80", "\xff"};
	cleanup_config struct lf_domain_config *config = lf_domain_config_new();
	struct lf_error error;
	char *text;

	lf_domain_config_set(&config->name, "a", NULL);
	lf_domain_config_set(&config->kernel,
	    "/gr\xc3\xbc\xc3\x9f"
	    "e \xe2\x82\xac \xf0\x9f\x98\x80",
	    NULL);
	cr_assert_eq(lf_domain_config_check(config, NULL), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		lf_domain_config_set(&config->kernel, wrong[i], NULL);
		cr_expect_eq(
		    lf_domain_config_check(config, &error), -EINVAL, "%zu", i);
		cr_expect_str_eq(
		    error.message, "kernel: the path is not UTF-8");
		cr_expect_eq(
		    lf_domain_config_to_json(config, &text, &error), -EINVAL);
	}
}

Test(domain_config, completion_fills_what_must_stay_and_changes_nothing_given)
{
	cleanup_config struct lf_domain_config *config = from_json(full);
	cleanup_config struct lf_domain_config *other =
	    from_json("{\"name\":\"a\",\"networks\":[{},{}]}");
	struct lf_domain_config *again = NULL;
	char mac[LF_MAC_STRING_SIZE];
	struct lf_mac first;

	cr_assert_eq(lf_domain_config_complete(config, NULL), 0);
	cr_assert_str_eq(config->disks[0].device, "vdb");
	cr_assert_str_eq(config->disks[1].device, "vda");
	lf_mac_format(&config->networks[0].mac, mac);
	cr_assert_str_eq(mac, "52:54:00:01:02:03");
	cr_assert(config->networks[1].mac.set);

	cr_assert_eq(lf_domain_config_complete(other, NULL), 0);
	cr_assert(other->uuid.set);
	cr_assert_eq(other->uuid.bytes[6] >> 4, 4, "not a version 4 UUID");
	first = other->networks[0].mac;
	cr_assert_neq(
	    memcmp(&first, &other->networks[1].mac, sizeof(first)), 0);
	cr_assert_eq(lf_domain_config_check(other, NULL), 0);
	cr_assert_eq(lf_domain_config_copy(other, &again, NULL), 0);
	cr_assert_eq(lf_domain_config_complete(again, NULL), 0);
	cr_assert_eq(memcmp(&again->uuid, &other->uuid, sizeof(other->uuid)), 0,
	    "a second completion changed the UUID");
	lf_domain_config_free(again);
}

Test(domain_config, uuids_and_macs_parse_in_one_form_only)
{
	struct lf_uuid uuid;
	struct lf_mac mac;
	char text[LF_UUID_STRING_SIZE];

	cr_assert_eq(
	    lf_uuid_parse("12345678-9ABC-DEF0-1234-56789ABCDEF0", &uuid), 0);
	lf_uuid_format(&uuid, text);
	cr_assert_str_eq(text, "12345678-9abc-def0-1234-56789abcdef0");
	cr_assert_lt(
	    lf_uuid_parse("123456789abcdef0123456789abcdef0", &uuid), 0);
	cr_assert_lt(
	    lf_uuid_parse("12345678-9abc-def0-1234-56789abcdef01", &uuid), 0);
	cr_assert_lt(lf_uuid_parse("", &uuid), 0);
	cr_assert_eq(lf_mac_parse("52:54:00:aB:cD:eF", &mac), 0);
	cr_assert_lt(lf_mac_parse("52:54:00:ab:cd", &mac), 0);
	cr_assert_lt(lf_mac_parse("52-54-00-ab-cd-ef", &mac), 0);
	cr_assert_lt(lf_mac_parse("52:54:00:ab:cd:ef:", &mac), 0);
	cr_assert_lt(lf_mac_parse("52:54:00:ab:cd: f", &mac), 0);
}

/* The parent of the fork tests: complete, and `full` with its ids. */
static struct lf_domain_config *
parent_new(void)
{
	struct lf_domain_config *parent = from_json(full);

	cr_assert_eq(lf_domain_config_complete(parent, NULL), 0);
	return parent;
}

Test(domain_config, a_fork_may_not_change_what_the_guest_knows)
{
	/* Member of `full` replaced, and what is said about it. */
	static const struct {
		const char *member, *value, *message;
	} cases[] = {
	    {"memory", "6442450944",
		"memory: the parent has 5G, the fork's "
		"configuration 6G"},
	    {"vcpus", "2",
		"vcpus: the parent has 4, the fork's configuration "
		"2"},
	    {"cpu", "\"EPYC\"",
		"cpu: the parent has 'EPYC,+svm', the fork's "
		"configuration 'EPYC'"},
	    {"machine", "\"pc\"",
		"machine: the parent has q35, the fork's "
		"configuration pc"},
	    {"accelerator", "\"kvm\"",
		"accelerator: the parent has tcg, the "
		"fork's configuration kvm"},
	    {"uuid", "\"00000000-0000-0000-0000-000000000000\"",
		"uuid: the parent has 12345678-9abc-def0-1234-56789abcdef0, "
		"the fork's configuration "
		"00000000-0000-0000-0000-000000000000"},
	    {"firmware", "{\"type\":\"pflash\",\"path\":\"/fw/code\"}",
		"firmware.nvram: the parent has '/fw/vars', the fork's "
		"configuration nothing"},
	    {"disks", "[{\"path\":\"/d/a\"}]",
		"disks: the parent has 2, the fork's configuration 1"},
	    {"disks",
		"[{\"path\":\"/d/a\",\"read_only\":true},"
		"{\"path\":\"/d/b\",\"read_only\":true}]",
		"disks[0].read_only: the parent has off, the fork's "
		"configuration on"},
	    {"networks", "[{\"mac\":\"52:54:00:01:02:04\"},{}]",
		"networks[0].mac: the parent has 52:54:00:01:02:03, the "
		"fork's configuration 52:54:00:01:02:04"},
	    {"serial", "{\"type\":\"none\"}",
		"serial.type: the parent has file, the fork's configuration "
		"none"},
	    {"video", "\"none\"",
		"video: the parent has std, the fork's "
		"configuration none"},
	    {"rng", "false",
		"rng: the parent has on, the fork's "
		"configuration off"},
	    {"vmgenid", "{\"present\":false}",
		"vmgenid.present: the parent has on, the fork's configuration "
		"off"},
	    {"qemu_args", "[\"-msg\",\"timestamp=off\"]",
		"qemu_args[1]: the parent has 'timestamp=on', the fork's "
		"configuration 'timestamp=off'"},
	};
	cleanup_config struct lf_domain_config *parent = parent_new();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lf_domain_config *fork;
		struct lf_error error = {0};
		char wanted[LF_ERROR_MESSAGE_MAX];
		json_t *json = json_loads(full, 0, NULL);
		char *text;

		json_object_set_new(json, cases[i].member,
		    json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
		text = json_dumps(json, 0);
		fork = from_json(text);
		cr_expect_eq(lf_domain_config_check_fork(parent, fork, &error),
		    -EINVAL, "%s accepted", cases[i].member);
		snprintf(wanted, sizeof(wanted),
		    "%s; the frozen guest keeps the parent's",
		    cases[i].message);
		cr_expect_str_eq(error.message, wanted);
		lf_domain_config_free(fork);
		free(text);
		json_decref(json);
	}
}

Test(domain_config, a_fork_may_change_the_other_end_of_its_devices)
{
	cleanup_config struct lf_domain_config *parent = parent_new();
	cleanup_config struct lf_domain_config *fork = from_json(full);
	struct lf_error error = {0};
	char mac[LF_MAC_STRING_SIZE];

	lf_domain_config_set(&fork->name, "other", NULL);
	lf_domain_config_set(&fork->disks[0].path, "/overlay", NULL);
	fork->disks[0].format = LF_DISK_QCOW2;
	fork->accelerator = LF_ACCELERATOR_AUTO;
	fork->uuid.set = false;
	fork->vmgenid.value.bytes[0] = 0xff;
	fork->networks[0].mac.set = false;
	fork->networks[0].restrict_guest = false;
	fork->networks[0].forwards[0].host_port = 2223;
	fork->serial.type = LF_SERIAL_PTY;
	lf_domain_config_set(&fork->serial.path, NULL, NULL);
	lf_domain_config_set(&fork->graphics.address, NULL, NULL);
	fork->graphics.port = 0;
	cr_assert_eq(lf_domain_config_check_fork(parent, fork, &error), 0, "%s",
	    error.message);
	cr_assert_eq(lf_domain_config_inherit(fork, parent, NULL), 0);
	lf_mac_format(&fork->networks[0].mac, mac);
	cr_assert_str_eq(mac, "52:54:00:01:02:03");
	cr_assert_eq(memcmp(&fork->uuid, &parent->uuid, sizeof(fork->uuid)), 0);
	cr_assert_eq(fork->vmgenid.value.bytes[0], 0xff);
	cr_assert_eq(fork->accelerator, LF_ACCELERATOR_TCG);
	cr_assert_str_eq(fork->disks[1].device, "vda");
}

Test(domain_config, a_fork_without_configuration_gets_ends_of_its_own)
{
	cleanup_config struct lf_domain_config *parent = parent_new();
	cleanup_config struct lf_domain_config *fork = NULL;
	struct lf_error error = {0};

	cr_assert_eq(lf_domain_config_derive(parent, "f1", &fork, NULL), 0);
	cr_assert_eq(lf_domain_config_check_fork(parent, fork, &error), 0, "%s",
	    error.message);
	cr_assert_eq(
	    lf_domain_config_check(fork, &error), 0, "%s", error.message);
	cr_assert_str_eq(fork->name, "f1");
	cr_assert_str_eq(fork->serial.path, "/log/serial.f1");
	cr_assert_null(fork->graphics.address);
	cr_assert_eq(fork->graphics.type, LF_GRAPHICS_VNC);
	cr_assert_eq(fork->networks[0].forwards[0].host_port, 0);
	cr_assert_null(fork->networks[0].forwards[0].address);
	cr_assert_eq(fork->networks[1].type, LF_NETWORK_USER);
	cr_assert_null(fork->networks[1].interface);
	cr_assert_str_eq(parent->networks[1].interface, "tap0");
}

static void *
json_malloc(size_t size)
{
	return sys.malloc(size);
}

static int
whole_life(const char *text, struct lf_error *error)
{
	cleanup_config struct lf_domain_config *config = NULL;
	cleanup_config struct lf_domain_config *copy = NULL;
	cleanup_config struct lf_domain_config *fork = NULL;
	cleanup_free char *printed = NULL;
	int rc;

	rc = lf_domain_config_from_json(text, strlen(text), &config, error);
	if (rc == 0)
		rc = lf_domain_config_copy(config, &copy, error);
	if (rc == 0)
		rc = lf_domain_config_complete(copy, error);
	if (rc == 0)
		rc = lf_domain_config_inherit(config, copy, error);
	if (rc == 0)
		rc = lf_domain_config_derive(copy, "fork", &fork, error);
	if (rc == 0)
		rc = lf_domain_config_to_json(fork, &printed, error);
	return rc;
}

Test(domain_config, any_failing_allocation_is_reported_and_leaks_nothing)
{
	json_set_alloc_funcs(json_malloc, free);
	FAULT_LOOP(fault)
	{
		struct lf_error error = {0};
		int rc = whole_life(full, &error);

		fault_end(&fault);
		if (fault.hit) {
			cr_assert_lt(rc, 0, "call %lu", fault.round);
			cr_assert_str_not_empty(error.message);
		} else {
			cr_assert_eq(rc, 0, "%s", error.message);
		}
	}
}
