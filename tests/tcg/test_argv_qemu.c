/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Argument vectors given to the real QEMU, under TCG and with the vCPUs
 * stopped: it starts, and its monitor tells what the configuration said.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libfork/qemu.h>

#include "base/cleanup.h"

DEFINE_CLEANUP(struct lf_domain_config *, lf_domain_config_free);
DEFINE_CLEANUP(struct lf_qemu_argv *, lf_qemu_argv_free);
#define cleanup_config cleanup(lf_domain_config_free_p)
#define cleanup_argv   cleanup(lf_qemu_argv_free_p)

#define ANSWER_MS      300000
#define FDS_MAX        64

#define OVMF_CODE      "/usr/share/OVMF/OVMF_CODE_4M.fd"
#define OVMF_VARS      "/usr/share/OVMF/OVMF_VARS_4M.fd"

/* Where the test's files are; removed at its end. */
static char dir[] = "/tmp/test-argv-XXXXXX";
static pid_t qemu = -1;
static int monitor = -1;

__attribute__((format(printf, 1, 2))) static void
run(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	cr_assert_eq(system(command), 0, "%s", command);
}

static void
setup(void)
{
	cr_assert_not_null(mkdtemp(dir));
	run("cd %s && truncate -s 1M raw && truncate -s 64K rom && "
	    "qemu-img create -qf qcow2 qcow2 1M && "
	    "qemu-img create -qf qcow2 -b raw -F raw overlay",
	    dir);
}

static void
teardown(void)
{
	if (qemu > 0) {
		kill(qemu, SIGKILL);
		waitpid(qemu, NULL, 0);
	}
	close_fd(monitor);
	run("rm -rf %s", dir);
}

TestSuite(argv_qemu, .init = setup, .fini = teardown, .timeout = 240);

static int
listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(fd, 1), 0);
	return fd;
}

/* Makes the tap for as long as it is open; -1 where that is not allowed. */
static int
open_tap(const char *name)
{
	struct ifreq request = {
	    .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd >= 0 && ioctl(fd, TUNSETIFF, &request) < 0)
		fd = close_fd(fd);
	return fd;
}

/* What QEMU is to inherit; our end of its monitor goes to `monitor`. */
static int
open_fd(const struct lf_qemu_fd *fd, uint64_t memory_bytes)
{
	int sv[2], got = -1;

	switch (fd->kind) {
	case LF_QEMU_FD_RAM:
		got = memfd_create("ram", MFD_CLOEXEC);
		cr_assert_eq(ftruncate(got, (off_t)memory_bytes), 0);
		break;
	case LF_QEMU_FD_QMP:
		cr_assert_eq(
		    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
		monitor = sv[0];
		got = sv[1];
		break;
	case LF_QEMU_FD_FILE:
		got = open(fd->path, fd->open_flags | O_CLOEXEC, 0600);
		break;
	case LF_QEMU_FD_LISTEN:
		got = listen_at(fd->path);
		break;
	case LF_QEMU_FD_TAP:
		got = open_tap(fd->path);
		break;
	}
	cr_assert_geq(got, 0, "%s: %s", fd->what, strerror(errno));
	return got;
}

static void
start(const struct lf_qemu_argv *argv, uint64_t memory_bytes)
{
	posix_spawn_file_actions_t actions;
	int fds[FDS_MAX];

	cr_assert_leq(argv->fd_count, FDS_MAX);
	posix_spawn_file_actions_init(&actions);
	for (size_t i = 0; i < argv->fd_count; i++) {
		int fd = open_fd(&argv->fds[i], memory_bytes);

		/* Out of the way of the numbers wanted in the child. */
		fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 200);
		close(fd);
		posix_spawn_file_actions_adddup2(
		    &actions, fds[i], argv->fds[i].number);
	}
	cr_assert_eq(posix_spawnp(&qemu, argv->argv[0], &actions, NULL,
			 argv->argv, environ),
	    0);
	posix_spawn_file_actions_destroy(&actions);
	for (size_t i = 0; i < argv->fd_count; i++)
		close(fds[i]);
}

/* The next message that is no event. */
static json_t *
receive(void)
{
	static char buf[1 << 20];
	struct pollfd pfd = {.fd = monitor, .events = POLLIN};
	size_t len = 0;

	for (;;) {
		json_t *json;

		cr_assert_eq(poll(&pfd, 1, ANSWER_MS), 1, "no answer");
		cr_assert_eq(read(monitor, buf + len, 1), 1, "QEMU is gone");
		if (buf[len++] != '\n')
			continue;
		json = json_loadb(buf, len, 0, NULL);
		cr_assert_not_null(json);
		if (json_object_get(json, "event") == NULL)
			return json;
		json_decref(json);
		len = 0;
	}
}

/* What a command returned; the caller's reference. */
static json_t *
command(const char *name)
{
	json_t *answer, *result;
	char line[256];
	int len;

	len = snprintf(line, sizeof(line), "{\"execute\":\"%s\"}\n", name);
	cr_assert_eq(write(monitor, line, (size_t)len), len);
	answer = receive();
	result = json_object_get(answer, "return");
	cr_assert_not_null(result, "%s failed", name);
	json_incref(result);
	json_decref(answer);
	return result;
}

static void
expect_member(json_t *object, const char *name, const char *wanted)
{
	const char *value = json_string_value(json_object_get(object, name));

	cr_assert_not_null(value, "no %s", name);
	cr_expect_str_eq(value, wanted);
}

/* One member of a command's answer. */
static void
expect_answer(const char *name, const char *member, const char *wanted)
{
	json_t *answer = command(name);

	expect_member(answer, member, wanted);
	json_decref(answer);
}

/* Builds the vector, starts QEMU, and asks for its state. */
static void
boot(const char *json, const struct lf_qemu_argv_options *options,
    const char *wanted_status)
{
	cleanup_config struct lf_domain_config *config = NULL;
	cleanup_argv struct lf_qemu_argv *argv = NULL;
	struct lf_error error = {0};

	cr_assert_eq(
	    lf_domain_config_from_json(json, strlen(json), &config, &error), 0,
	    "%s", error.message);
	cr_assert_eq(lf_domain_config_complete(config, &error), 0);
	cr_assert_eq(lf_qemu_argv_build(config, options, &argv, &error), 0,
	    "%s", error.message);
	start(argv, config->memory_bytes);
	json_decref(receive());
	json_decref(command("qmp_capabilities"));
	expect_answer("query-status", "status", wanted_status);
}

/* The PCI devices that have an id, "SLOT:ID " each. */
static void
expect_pci_devices(const char *wanted)
{
	json_t *busses = command("query-pci");
	json_t *devices = json_object_get(json_array_get(busses, 0), "devices");
	char got[256] = "";

	for (size_t i = 0; i < json_array_size(devices); i++) {
		json_t *device = json_array_get(devices, i);
		const char *id =
		    json_string_value(json_object_get(device, "qdev_id"));
		int slot =
		    (int)json_integer_value(json_object_get(device, "slot"));

		if (id[0] != '\0')
			snprintf(got + strlen(got), sizeof(got) - strlen(got),
			    "%d:%s ", slot, id);
	}
	cr_expect_str_eq(got, wanted);
	json_decref(busses);
}

static void
machine_with_disks(const char *machine, bool video)
{
	const struct lf_qemu_argv_options options = {
	    .share_ram = true, .paused = true};
	char json[1024], wanted[64];
	json_t *answer;

	snprintf(json, sizeof(json),
	    "{\"name\":\"d\",\"accelerator\":\"tcg\",\"machine\":\"%s\","
	    "\"uuid\":\"12345678-9abc-def0-1234-56789abcdef0\",\"vcpus\":2,"
	    "\"disks\":[{\"path\":\"%s/raw\"},{\"path\":\"%s/qcow2\","
	    "\"format\":\"qcow2\",\"read_only\":true}],\"video\":\"%s\"}",
	    machine, dir, dir, video ? "std" : "none");
	boot(json, &options, "prelaunch");
	snprintf(wanted, sizeof(wanted), "%s16:disk-vda 17:disk-vdb ",
	    video ? "2:video0 " : "");
	expect_pci_devices(wanted);
	expect_answer(
	    "query-uuid", "UUID", "12345678-9abc-def0-1234-56789abcdef0");
	answer = command("query-cpus-fast");
	cr_expect_eq(json_array_size(answer), 2);
	json_decref(answer);
}

Test(argv_qemu, pc_without_video)
{
	machine_with_disks("pc", false);
}

Test(argv_qemu, pc_with_video)
{
	machine_with_disks("pc", true);
}

Test(argv_qemu, q35_without_video)
{
	machine_with_disks("q35", false);
}

Test(argv_qemu, q35_with_video)
{
	machine_with_disks("q35", true);
}

Test(argv_qemu, every_device_at_once)
{
	char json[2048], vnc[64], wanted[64];
	const struct lf_qemu_argv_options options = {
	    .share_ram = true, .paused = true, .vnc_socket = vnc};
	bool serial_found = false;
	json_t *answer;

	if (access(OVMF_CODE, R_OK) != 0)
		cr_skip_test("no OVMF here (package ovmf)");
	run("cp " OVMF_VARS " %s/vars", dir);
	snprintf(vnc, sizeof(vnc), "%s/v,nc", dir);
	snprintf(json, sizeof(json),
	    "{\"name\":\"d\",\"accelerator\":\"tcg\",\"machine\":\"q35\","
	    "\"firmware\":{\"type\":\"pflash\",\"path\":\"" OVMF_CODE "\","
	    "\"nvram\":\"%s/vars\"},"
	    "\"networks\":[{\"restrict\":true,\"forwards\":["
	    "{\"host_port\":0,\"guest_port\":22},"
	    "{\"protocol\":\"udp\",\"host_port\":0,\"guest_port\":53}]},"
	    "{\"mac\":\"52:54:00:01:02:03\"}],"
	    "\"serial\":{\"type\":\"socket\",\"path\":\"%s/serial\"},"
	    "\"graphics\":{\"type\":\"vnc\"},\"video\":\"std\",\"rng\":true,"
	    "\"vmgenid\":{\"present\":true,"
	    "\"value\":\"00000000-0000-0000-0000-000000000001\"}}",
	    dir, dir);
	boot(json, &options, "prelaunch");
	expect_pci_devices("2:video0 3:nic0 4:nic1 8:rng0 ");
	expect_answer("query-vnc", "service", vnc);
	expect_answer("query-vm-generation-id", "guid",
	    "00000000-0000-0000-0000-000000000001");
	answer = command("query-chardev");
	snprintf(wanted, sizeof(wanted), "%s/serial", dir);
	for (size_t i = 0; i < json_array_size(answer); i++) {
		const char *file = json_string_value(
		    json_object_get(json_array_get(answer, i), "filename"));

		if (strstr(file, wanted) != NULL)
			serial_found = true;
	}
	cr_expect(serial_found);
	json_decref(answer);
}

Test(argv_qemu, a_chain_of_images_is_opened_from_descriptors_alone)
{
	char json[512], overlay[64], raw[64];
	const struct lf_qemu_layer layers[] = {
	    {.path = overlay, .format = LF_DISK_QCOW2},
	    {.path = raw, .format = LF_DISK_RAW},
	};
	const struct lf_qemu_chain chain = {layers, 2};
	const struct lf_qemu_argv_options options = {
	    .incoming = true, .paused = true, .disks = &chain};
	json_t *answer, *image;

	snprintf(overlay, sizeof(overlay), "%s/overlay", dir);
	snprintf(raw, sizeof(raw), "%s/raw", dir);
	snprintf(json, sizeof(json),
	    "{\"name\":\"d\",\"accelerator\":\"tcg\","
	    "\"serial\":{\"type\":\"file\",\"path\":\"%s/serial\"},"
	    "\"disks\":[{\"path\":\"%s\",\"format\":\"qcow2\"}]}",
	    dir, overlay);
	boot(json, &options, "inmigrate");
	answer = command("query-block");
	image = json_object_get(
	    json_object_get(json_array_get(answer, 0), "inserted"), "image");
	image = json_object_get(image, "backing-image");
	cr_assert_not_null(image);
	expect_member(image, "filename", "/dev/fdset/5");
	json_decref(answer);
	answer = command("query-named-block-nodes");
	cr_expect_eq(json_array_size(answer), 4);
	json_decref(answer);
}

Test(argv_qemu, five_gigabytes_are_sparse)
{
	const struct lf_qemu_argv_options options = {
	    .share_ram = true, .paused = true};
	json_t *answer;

	boot("{\"name\":\"d\",\"accelerator\":\"tcg\",\"memory\":5368709120}",
	    &options, "prelaunch");
	answer = command("query-memory-size-summary");
	cr_expect_eq(json_integer_value(json_object_get(answer, "base-memory")),
	    INT64_C(5) << 30);
	json_decref(answer);
}

Test(argv_qemu, a_rom_image_is_the_firmware)
{
	static const unsigned char code[] = {
	    0xba, 0xf8, 0x03, /* mov dx, 0x3f8 */
	    0xb0, 'R',        /* mov al, 'R' */
	    0xee,             /* out dx, al */
	    0xfa, 0xf4,       /* cli; hlt */
	};
	/* At the reset vector: jmp 0xf000:0, the image's beginning. */
	static const unsigned char reset[] = {0xea, 0x00, 0x00, 0x00, 0xf0};
	const struct lf_qemu_argv_options options = {.share_ram = true};
	char path[64], json[512];
	char got = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/rom", dir);
	fd = open(path, O_WRONLY);
	cr_assert_eq(pwrite(fd, code, sizeof(code), 0), sizeof(code));
	cr_assert_eq(pwrite(fd, reset, sizeof(reset), 0xfff0), sizeof(reset));
	close(fd);
	snprintf(json, sizeof(json),
	    "{\"name\":\"d\",\"accelerator\":\"tcg\",\"memory\":4194304,"
	    "\"firmware\":{\"type\":\"rom\",\"path\":\"%s\"},"
	    "\"serial\":{\"type\":\"file\",\"path\":\"%s/serial\"}}",
	    path, dir);
	boot(json, &options, "running");
	snprintf(path, sizeof(path), "%s/serial", dir);
	fd = open(path, O_RDONLY);
	for (int i = 0; i < 6000 && read(fd, &got, 1) != 1; i++)
		usleep(10000);
	close(fd);
	cr_assert_eq(got, 'R');
}

Test(argv_qemu, firmware_variables_may_be_an_overlay)
{
	char json[512], vars[64], overlay[64];
	const struct lf_qemu_layer layers[] = {
	    {.path = overlay, .format = LF_DISK_QCOW2},
	    {.path = vars, .format = LF_DISK_RAW},
	};
	const struct lf_qemu_chain chain = {layers, 2};
	const struct lf_qemu_argv_options options = {
	    .incoming = true, .paused = true, .nvram = &chain};

	if (access(OVMF_CODE, R_OK) != 0)
		cr_skip_test("no OVMF here (package ovmf)");
	run("cd %s && cp " OVMF_VARS " vars && "
	    "qemu-img create -qf qcow2 -b vars -F raw vars.qcow2",
	    dir);
	snprintf(vars, sizeof(vars), "%s/vars", dir);
	snprintf(overlay, sizeof(overlay), "%s/vars.qcow2", dir);
	snprintf(json, sizeof(json),
	    "{\"name\":\"d\",\"accelerator\":\"tcg\","
	    "\"serial\":{\"type\":\"none\"},"
	    "\"firmware\":{\"type\":\"pflash\",\"path\":\"" OVMF_CODE "\","
	    "\"nvram\":\"%s\"}}",
	    vars);
	boot(json, &options, "inmigrate");
}

Test(argv_qemu, a_tap_is_inherited)
{
	const struct lf_qemu_argv_options options = {
	    .share_ram = true, .paused = true};
	int tap = open_tap("lf-test-tap");

	if (tap < 0)
		cr_skip_test("may not make a tap here");
	close(tap);
	boot("{\"name\":\"d\",\"accelerator\":\"tcg\","
	     "\"serial\":{\"type\":\"none\"},\"networks\":["
	     "{\"type\":\"tap\",\"interface\":\"lf-test-tap\"}]}",
	    &options, "prelaunch");
	expect_pci_devices("3:nic0 ");
}

/* A CPU that any KVM has: a software one may not have all of the host's. */
Test(argv_qemu, kvm_is_an_accelerator)
{
	const struct lf_qemu_argv_options options = {
	    .share_ram = true, .paused = true};
	json_t *answer;

	if (access("/dev/kvm", R_OK | W_OK) != 0)
		cr_skip_test("no /dev/kvm here");
	boot("{\"name\":\"d\",\"accelerator\":\"kvm\",\"cpu\":\"qemu64\","
	     "\"machine\":\"q35\","
	     "\"serial\":{\"type\":\"none\"}}",
	    &options, "prelaunch");
	answer = command("query-kvm");
	cr_expect(json_is_true(json_object_get(answer, "enabled")));
	json_decref(answer);
}
