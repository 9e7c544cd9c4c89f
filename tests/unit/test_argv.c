/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QEMU's argument vector as text: complete, the same every time, and for a
 * fork the same hardware as for its parent. tests/tcg/test_argv_qemu.c gives
 * such vectors to QEMU.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/qemu.h>

#include "base/cleanup.h"
#include "base/sys.h"
#include "lib/fault.h"

DEFINE_CLEANUP(struct lf_domain_config *, lf_domain_config_free);
DEFINE_CLEANUP(struct lf_qemu_argv *, lf_qemu_argv_free);
#define cleanup_config cleanup(lf_domain_config_free_p)
#define cleanup_argv   cleanup(lf_qemu_argv_free_p)

static const char parent_json[] =
    "{\"name\":\"parent\",\"uuid\":\"12345678-9abc-def0-1234-56789abcdef0\","
    "\"memory\":5368709120,\"vcpus\":2,\"machine\":\"q35\","
    "\"accelerator\":\"tcg\",\"kernel\":\"/boot/vmlinuz\","
    "\"cmdline\":\"console=ttyS0 a='b c'\","
    "\"firmware\":{\"type\":\"pflash\",\"path\":\"/fw/code\","
    "\"nvram\":\"/fw/vars\"},"
    "\"disks\":[{\"path\":\"/d/a\",\"device\":\"vda\"},"
    "{\"path\":\"/d/b\",\"format\":\"qcow2\",\"read_only\":true,"
    "\"device\":\"vdc\"}],"
    "\"networks\":[{\"mac\":\"52:54:00:01:02:03\",\"restrict\":true,"
    "\"forwards\":[{\"host_port\":2222,\"guest_port\":22}]},"
    "{\"type\":\"tap\",\"mac\":\"52:54:00:01:02:04\","
    "\"interface\":\"tap0\"}],"
    "\"serial\":{\"type\":\"socket\",\"path\":\"/run/s\"},"
    "\"graphics\":{\"type\":\"vnc\",\"socket\":\"/run/v,nc\"},"
    "\"video\":\"std\",\"rng\":true,\"vmgenid\":{\"present\":true,"
    "\"value\":\"00000000-0000-0000-0000-000000000001\"},"
    "\"qemu_args\":[\"-msg\",\"timestamp=on\"]}";

static const char parent_text[] =
    "# descriptor 3: guest memory\n"
    "# descriptor 4: QMP socket\n"
    "# descriptor 10: tap tap0\n"
    "# descriptor 11: serial port /run/s\n"
    "qemu-system-x86_64 \\\n"
    "\t-name guest=parent,debug-threads=on \\\n"
    "\t-uuid 12345678-9abc-def0-1234-56789abcdef0 \\\n"
    "\t-nodefaults \\\n"
    "\t-no-user-config \\\n"
    "\t-only-migratable \\\n"
    "\t-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,"
    "resourcecontrol=deny \\\n"
    "\t-machine q35,memory-backend=ram,usb=off,vmport=off,"
    "dump-guest-core=off,mem-merge=off,pflash0=flash0,pflash1=flash1 \\\n"
    "\t-accel tcg \\\n"
    "\t-cpu max,la57=off \\\n"
    "\t-smp cpus=2,sockets=1,cores=2,threads=1 \\\n"
    "\t-m size=5120M \\\n"
    "\t-object memory-backend-file,id=ram,size=5368709120,"
    "mem-path=/proc/self/fd/3,share=on \\\n"
    "\t-chardev socket,id=qmp,fd=4 \\\n"
    "\t-mon chardev=qmp,mode=control \\\n"
    "\t-kernel /proc/self/fd/5 \\\n"
    "\t-append 'console=ttyS0 a='\\''b c'\\''' \\\n"
    "\t-add-fd fd=6,set=6 \\\n"
    "\t-blockdev '{\"driver\":\"file\",\"node-name\":\"flash0-file\","
    "\"filename\":\"/dev/fdset/6\",\"read-only\":true}' \\\n"
    "\t-blockdev '{\"driver\":\"raw\",\"node-name\":\"flash0\","
    "\"file\":\"flash0-file\",\"read-only\":true}' \\\n"
    "\t-add-fd fd=7,set=7 \\\n"
    "\t-blockdev '{\"driver\":\"file\",\"node-name\":\"flash1-file\","
    "\"filename\":\"/dev/fdset/7\",\"read-only\":false}' \\\n"
    "\t-blockdev '{\"driver\":\"raw\",\"node-name\":\"flash1\","
    "\"file\":\"flash1-file\",\"read-only\":false}' \\\n"
    "\t-add-fd fd=8,set=8 \\\n"
    "\t-blockdev '{\"driver\":\"file\",\"node-name\":\"vda-file\","
    "\"filename\":\"/dev/fdset/8\",\"read-only\":false}' \\\n"
    "\t-blockdev '{\"driver\":\"raw\",\"node-name\":\"vda\","
    "\"file\":\"vda-file\",\"read-only\":false}' \\\n"
    "\t-device virtio-blk-pci,id=disk-vda,drive=vda,bus=pcie.0,addr=0x10,"
    "bootindex=1 \\\n"
    "\t-add-fd fd=9,set=9 \\\n"
    "\t-blockdev '{\"driver\":\"file\",\"node-name\":\"vdc-file\","
    "\"filename\":\"/dev/fdset/9\",\"read-only\":true}' \\\n"
    "\t-blockdev '{\"driver\":\"qcow2\",\"node-name\":\"vdc\","
    "\"file\":\"vdc-file\",\"read-only\":true,\"backing\":null}' \\\n"
    "\t-device virtio-blk-pci,id=disk-vdc,drive=vdc,bus=pcie.0,addr=0x12,"
    "bootindex=3 \\\n"
    "\t-netdev user,id=net0,restrict=on,"
    "hostfwd=tcp:127.0.0.1:2222-:22 \\\n"
    "\t-device virtio-net-pci,id=nic0,netdev=net0,bus=pcie.0,addr=0x3,"
    "romfile=,mac=52:54:00:01:02:03 \\\n"
    "\t-netdev tap,id=net1,fd=10 \\\n"
    "\t-device virtio-net-pci,id=nic1,netdev=net1,bus=pcie.0,addr=0x4,"
    "romfile=,mac=52:54:00:01:02:04 \\\n"
    "\t-chardev socket,id=serial0,fd=11,server=on,wait=off \\\n"
    "\t-device isa-serial,id=com1,chardev=serial0,index=0 \\\n"
    "\t-display none \\\n"
    "\t-device VGA,id=video0,bus=pcie.0,addr=0x2 \\\n"
    "\t-vnc unix:/run/v,,nc \\\n"
    "\t-object rng-builtin,id=random0 \\\n"
    "\t-device virtio-rng-pci,id=rng0,rng=random0,bus=pcie.0,addr=0x8 \\\n"
    "\t-device vmgenid,id=vmgenid0,"
    "guid=00000000-0000-0000-0000-000000000001 \\\n"
    "\t-msg timestamp=on \\\n"
    "\t5</boot/vmlinuz \\\n"
    "\t6</fw/code \\\n"
    "\t7<>/fw/vars \\\n"
    "\t8<>/d/a \\\n"
    "\t9</d/b\n";

static struct lf_domain_config *
config_of(const char *text)
{
	struct lf_domain_config *config = NULL;
	struct lf_error error = {0};

	cr_assert_eq(
	    lf_domain_config_from_json(text, strlen(text), &config, &error), 0,
	    "%s", error.message);
	return config;
}

Test(argv, is_complete_and_printed_as_shell_text)
{
	cleanup_config struct lf_domain_config *config = config_of(parent_json);
	const struct lf_qemu_argv_options options = {.share_ram = true};
	cleanup_argv struct lf_qemu_argv *argv = NULL;
	cleanup_free char *text = NULL;
	struct lf_error error = {0};

	cr_assert_eq(lf_qemu_argv_build(config, &options, &argv, &error), 0,
	    "%s", error.message);
	cr_assert_null(argv->argv[argv->count]);
	cr_assert_eq(lf_qemu_argv_print(argv, &text, &error), 0);
	cr_assert_str_eq(text, parent_text);
}

Test(argv, every_descriptor_says_how_to_get_it)
{
	static const struct {
		enum lf_qemu_fd_kind kind;
		int flags;
		bool reopened;
		const char *what, *path;
	} wanted[] = {
	    {LF_QEMU_FD_RAM, O_RDWR, true, "guest memory", NULL},
	    {LF_QEMU_FD_QMP, O_RDWR, false, "QMP socket", NULL},
	    {LF_QEMU_FD_FILE, O_RDONLY, true, "kernel", "/boot/vmlinuz"},
	    {LF_QEMU_FD_FILE, O_RDONLY, false, "firmware", "/fw/code"},
	    {LF_QEMU_FD_FILE, O_RDWR, false, "firmware variables", "/fw/vars"},
	    {LF_QEMU_FD_FILE, O_RDWR, false, "disk vda", "/d/a"},
	    {LF_QEMU_FD_FILE, O_RDONLY, false, "disk vdc", "/d/b"},
	    {LF_QEMU_FD_TAP, O_RDWR, false, "tap", "tap0"},
	    {LF_QEMU_FD_LISTEN, O_RDWR, false, "serial port", "/run/s"},
	};
	cleanup_config struct lf_domain_config *config = config_of(parent_json);
	const struct lf_qemu_argv_options options = {0};
	cleanup_argv struct lf_qemu_argv *argv = NULL;

	cr_assert_eq(lf_qemu_argv_build(config, &options, &argv, NULL), 0);
	cr_assert_eq(argv->fd_count, sizeof(wanted) / sizeof(wanted[0]));
	for (size_t i = 0; i < argv->fd_count; i++) {
		const struct lf_qemu_fd *fd = &argv->fds[i];

		cr_expect_eq(fd->number, (int)i + 3);
		cr_expect_eq(fd->kind, wanted[i].kind, "%s", fd->what);
		cr_expect_eq(fd->open_flags, wanted[i].flags, "%s", fd->what);
		cr_expect_eq(fd->reopened, wanted[i].reopened, "%s", fd->what);
		cr_expect_str_eq(fd->what, wanted[i].what);
		if (wanted[i].path == NULL)
			cr_expect_null(fd->path);
		else
			cr_expect_str_eq(fd->path, wanted[i].path);
	}
}

/* Whether the argument belongs to the guest's hardware. */
static bool
is_hardware(const struct lf_qemu_argv *argv, size_t i)
{
	static const char *const options[] = {
	    "-uuid", "-machine", "-accel", "-cpu", "-smp", "-m", "-device"};

	if (i == 0)
		return false;
	for (size_t k = 0; k < sizeof(options) / sizeof(options[0]); k++)
		if (strcmp(argv->argv[i - 1], options[k]) == 0)
			return true;
	return false;
}

Test(argv, a_fork_has_its_parents_hardware)
{
	static const struct lf_qemu_layer layers[] = {
	    {.path = "/overlays/a", .format = LF_DISK_QCOW2},
	    {.path = "/overlays/b", .format = LF_DISK_QCOW2},
	    {.path = "/dev/disk", .format = LF_DISK_RAW, .block_device = true},
	};
	static const struct lf_qemu_chain chains[2] = {{layers, 3}, {NULL, 0}};
	static const struct lf_qemu_argv_options parent_options = {
	    .share_ram = true};
	static const struct lf_qemu_argv_options fork_options = {
	    .incoming = true,
	    .paused = true,
	    .disks = chains,
	    .vnc_socket = "/run/vnc"};
	cleanup_config struct lf_domain_config *parent = config_of(parent_json);
	cleanup_config struct lf_domain_config *fork = NULL;
	cleanup_argv struct lf_qemu_argv *a = NULL;
	cleanup_argv struct lf_qemu_argv *b = NULL;
	cleanup_free char *text = NULL;
	size_t i = 0, k = 0, same = 0;

	cr_assert_eq(lf_domain_config_derive(parent, "fork", &fork, NULL), 0);
	cr_assert_eq(lf_qemu_argv_build(parent, &parent_options, &a, NULL), 0);
	cr_assert_eq(lf_qemu_argv_build(fork, &fork_options, &b, NULL), 0);
	for (;;) {
		while (i < a->count && !is_hardware(a, i))
			i++;
		while (k < b->count && !is_hardware(b, k))
			k++;
		if (i == a->count || k == b->count)
			break;
		cr_expect_str_eq(a->argv[i++], b->argv[k++]);
		same++;
	}
	cr_assert_eq(i, a->count);
	cr_assert_eq(k, b->count);
	cr_assert_eq(same, 14);

	cr_assert_eq(lf_qemu_argv_print(b, &text, NULL), 0);
	cr_expect_not_null(strstr(text, ",share=off "));
	cr_expect_not_null(strstr(text, "\t-S \\\n\t-incoming defer "));
	cr_expect_not_null(strstr(text, "hostfwd=tcp:127.0.0.1:0-:22 "));
	cr_expect_not_null(strstr(text, "-vnc unix:/run/vnc "));
	cr_expect_not_null(strstr(text,
	    "-add-fd fd=8,set=8 \\\n"
	    "\t-blockdev '{\"driver\":\"host_device\",\"node-name\":"
	    "\"vda-2-file\",\"filename\":\"/dev/fdset/8\","
	    "\"read-only\":true}' \\\n"
	    "\t-blockdev '{\"driver\":\"raw\",\"node-name\":\"vda-2\","
	    "\"file\":\"vda-2-file\",\"read-only\":true}' \\\n"
	    "\t-add-fd fd=9,set=9 \\\n"
	    "\t-blockdev '{\"driver\":\"file\",\"node-name\":\"vda-1-file\","
	    "\"filename\":\"/dev/fdset/9\",\"read-only\":true}' \\\n"
	    "\t-blockdev '{\"driver\":\"qcow2\",\"node-name\":\"vda-1\","
	    "\"file\":\"vda-1-file\",\"read-only\":true,"
	    "\"backing\":\"vda-2\"}' \\\n"
	    "\t-add-fd fd=10,set=10 \\\n"
	    "\t-blockdev '{\"driver\":\"file\",\"node-name\":\"vda-file\","
	    "\"filename\":\"/dev/fdset/10\",\"read-only\":false}' \\\n"
	    "\t-blockdev '{\"driver\":\"qcow2\",\"node-name\":\"vda\","
	    "\"file\":\"vda-file\",\"read-only\":false,"
	    "\"backing\":\"vda-1\"}' \\\n"));
	cr_expect_not_null(strstr(text, "\t10<>/overlays/a"));
}

Test(argv, what_cannot_be_built_is_refused_with_the_reason)
{
	static const struct lf_qemu_layer raw_on_raw[] = {
	    {.path = "/a"}, {.path = "/b"}};
	static const struct lf_qemu_layer relative[] = {{.path = "a"}};
	static const struct lf_qemu_chain bad_chain = {raw_on_raw, 2};
	static const struct lf_qemu_chain relative_chain = {relative, 1};
	static const struct lf_qemu_chain long_chain = {relative, 65};
	static const struct {
		const char *json;
		struct lf_qemu_argv_options options;
		const char *message;
	} cases[] = {
	    {"{\"name\":\"a\"}", {0}, "accelerator: nobody chose one"},
	    {"{\"name\":\"a\",\"accelerator\":\"tcg\","
	     "\"disks\":[{\"path\":\"/a\"}]}",
		{0}, "disks[0]: its place is not settled"},
	    {"{\"name\":\"a\",\"accelerator\":\"tcg\","
	     "\"disks\":[{\"path\":\"/a\",\"device\":\"vda\"}]}",
		{.disks = &bad_chain},
		"disk vda: layer 0 ('/a') is raw and cannot have a backing "
		"file"},
	    {"{\"name\":\"a\",\"accelerator\":\"tcg\","
	     "\"disks\":[{\"path\":\"/a\",\"device\":\"vda\"}]}",
		{.disks = &relative_chain},
		"disk vda: layer 0 has no absolute path"},
	    {"{\"name\":\"a\",\"accelerator\":\"tcg\","
	     "\"disks\":[{\"path\":\"/a\",\"device\":\"vda\"}]}",
		{.disks = &long_chain},
		"disk vda: a chain of 65 images, more than 64"},
	    {"{\"name\":\"a\",\"accelerator\":\"tcg\","
	     "\"graphics\":{\"type\":\"vnc\"}}",
		{0}, "graphics: VNC needs the absolute path of a socket"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_config struct lf_domain_config *config =
		    config_of(cases[i].json);
		struct lf_qemu_argv *argv = NULL;
		struct lf_error error = {0};

		cr_expect_eq(lf_qemu_argv_build(
				 config, &cases[i].options, &argv, &error),
		    -EINVAL);
		cr_expect_null(argv);
		cr_expect_str_eq(error.message, cases[i].message);
	}
}

Test(argv, relative_paths_are_refused)
{
	cleanup_config struct lf_domain_config *config =
	    config_of("{\"name\":\"a\",\"accelerator\":\"tcg\"}");
	const struct lf_qemu_argv_options options = {0};
	struct lf_qemu_argv *argv = NULL;
	struct lf_error error = {0};

	lf_domain_config_set(&config->kernel, "vmlinuz", NULL);
	cr_assert_eq(
	    lf_qemu_argv_build(config, &options, &argv, &error), -EINVAL);
	cr_assert_str_eq(error.message, "'vmlinuz' is not an absolute path");
}

Test(argv, any_failing_allocation_is_reported_and_leaks_nothing)
{
	cleanup_config struct lf_domain_config *config = config_of(parent_json);
	const struct lf_qemu_argv_options options = {0};

	FAULT_LOOP(fault)
	{
		cleanup_argv struct lf_qemu_argv *argv = NULL;
		cleanup_free char *text = NULL;
		int rc;

		rc = lf_qemu_argv_build(config, &options, &argv, NULL);
		if (rc == 0)
			rc = lf_qemu_argv_print(argv, &text, NULL);
		fault_end(&fault);
		cr_assert_eq(rc, fault.hit ? -ENOMEM : 0);
	}
}
