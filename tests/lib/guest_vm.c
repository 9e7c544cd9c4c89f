/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guests for tests. A console's text is kept whole, so that a test can ask
 * what came before and what came after something.
 */
#include "base/clock.h"
#include "lib/guest_vm.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static struct lf_launcher *launcher;

void
guest_setup(void)
{
	struct lf_launcher_spawn_options options = {
	    .overlay_dir = dir,
	    .end_with_thread = true,
	};
	struct lf_error error;

	strcpy(dir, "/tmp/lf-test-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(lf_launcher_spawn_new(&options, &launcher, &error), 0,
	    "%s", error.message);
}

void
guest_teardown(void)
{
	char command[100];

	lf_launcher_spawn_free(launcher);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (dir[0] != '\0' && system(command) != 0)
		cr_log_warn("%s is left", dir);
}

const char *
guest_dir(void)
{
	return dir;
}

struct lf_launcher *
guest_launcher(void)
{
	return launcher;
}

char *
guest_path(const char *format, ...)
{
	char name[128], *path;
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	cr_assert_gt(asprintf(&path, "%s/%s", dir, name), 0);
	return path;
}

void
guest_shell(const char *format, ...)
{
	char command[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	cr_assert_eq(system(command), 0, "%s", command);
}

/* --- configurations --- */

/* Where make-guest puts what it makes. */
static void
built(char path[4096], const char *name)
{
	const char *top = getenv("top_builddir");

	snprintf(
	    path, 4096, "%s/tests/guest/%s", top != NULL ? top : ".", name);
}

static void
build_guest(const char *part)
{
	const char *source = getenv("top_srcdir");
	char command[8192], out[4096];
	int status;

	built(out, "");
	snprintf(command, sizeof(command), "sh %s/tests/guest/make-guest %s %s",
	    source != NULL ? source : "..", out, part);
	status = system(command);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		cr_skip_test("there is no kernel to boot");
	cr_assert_eq(status, 0, "%s", command);
}

static void
set(char **field, const char *value)
{
	cr_assert_eq(lf_domain_config_set(field, value, NULL), 0);
}

static struct lf_domain_config *
base_config(const char *name, uint64_t mebibytes)
{
	struct lf_domain_config *config = lf_domain_config_new();
	char *path;

	cr_assert_not_null(config);
	set(&config->name, name);
	config->memory_bytes = mebibytes << 20;
	config->accelerator = LF_ACCELERATOR_TCG;
	path = guest_path("%s.serial", name);
	set(&config->serial.path, path);
	free(path);
	return config;
}

/* A guest that is a firmware image. */
static struct lf_domain_config *
firmware_config(const char *name, const char *image)
{
	struct lf_domain_config *config = base_config(name, 16);
	char path[4096];

	build_guest("bootless");
	built(path, image);
	config->firmware.type = LF_FIRMWARE_ROM;
	set(&config->firmware.path, path);
	config->serial.type = LF_SERIAL_FILE;
	return config;
}

struct lf_domain_config *
guest_bootless(const char *name)
{
	return firmware_config(name, "bootless.bin");
}

struct lf_domain_config *
guest_busy(const char *name)
{
	struct lf_domain_config *config;

	if (access("/dev/kvm", R_OK | W_OK) < 0)
		cr_skip_test("there is no /dev/kvm, or no permission for it");
	config = firmware_config(name, "busy.bin");
	config->accelerator = LF_ACCELERATOR_KVM;
	set(&config->cpu, "max,-arch-capabilities");
	return config;
}

struct lf_fork_options
guest_fork_options(const char *name)
{
	struct lf_fork_options options;

	lf_fork_options_init(&options);
	options.backend = LF_BACKEND_QEMU;
	options.launcher = guest_launcher();
	options.name = name;
	return options;
}

void
guest_add_disk(struct lf_domain_config *config, const char *name)
{
	struct lf_disk *disk;

	guest_shell("qemu-img create -q -f qcow2 %s/%s 8M", guest_dir(), name);
	cr_assert_eq(lf_domain_config_add_disk(config, &disk, NULL), 0);
	disk->path = guest_path("%s", name);
	disk->format = LF_DISK_QCOW2;
}

struct lf_domain_config *
guest_linux(const char *name, const char *words)
{
	struct lf_domain_config *config = base_config(name, 256);
	char path[4096], line[512];

	build_guest("linux");
	built(path, "vmlinuz");
	set(&config->kernel, path);
	built(path, "initrd.img");
	set(&config->ramdisk, path);
	snprintf(line, sizeof(line),
	    "console=ttyS0 quiet panic=-1 no_timer_check %s", words);
	set(&config->cmdline, line);
	config->serial.type = LF_SERIAL_SOCKET;
	return config;
}

/* --- consoles --- */

void
console_open(struct console *console, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	*console = (struct console){.fd = -1};
	cr_assert_lt(strlen(path), sizeof(address.sun_path));
	strcpy(address.sun_path, path);
	console->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(console->fd, 0);
	cr_assert_eq(
	    connect(console->fd, (struct sockaddr *)&address, sizeof(address)),
	    0, "%s: %s", path, strerror(errno));
	console->text = calloc(1, 1);
}

void
console_close(struct console *console)
{
	close(console->fd);
	free(console->text);
	*console = (struct console){.fd = -1};
}

/* Waits for bytes until the deadline; false when none came. */
static bool
take_in(struct console *console, int64_t deadline)
{
	struct pollfd pfd = {.fd = console->fd, .events = POLLIN};
	int64_t left = deadline - clock_ms();
	char buf[4096];
	ssize_t n;

	if (poll(&pfd, 1, left > 0 ? (int)left : 0) <= 0)
		return false;
	n = read(console->fd, buf, sizeof(buf));
	if (n <= 0)
		return false;
	console->text = realloc(console->text, console->len + (size_t)n + 1);
	cr_assert_not_null(console->text);
	for (ssize_t i = 0; i < n; i++)
		if (buf[i] != '\r' && buf[i] != '\0')
			console->text[console->len++] = buf[i];
	console->text[console->len] = '\0';
	return true;
}

size_t
console_wait(
    struct console *console, size_t from, const char *pattern, int timeout_ms)
{
	int64_t deadline = clock_ms() + timeout_ms;

	for (;;) {
		char *found = strstr(console->text + from, pattern);

		if (found != NULL)
			return (size_t)(found - console->text);
		cr_assert(take_in(console, deadline),
		    "no '%s' within %d ms; the console says:\n%s", pattern,
		    timeout_ms, console->text + from);
	}
}

void
console_drain(struct console *console, int ms)
{
	int64_t deadline = clock_ms() + ms;

	while (take_in(console, deadline))
		;
}

const char *
console_run(struct console *console, const char *format, ...)
{
	static char reply[65536];
	char command[1024], line[1200], mark[32];
	size_t from = console->len, end, used = 0;
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	console->last_id++;
	snprintf(line, sizeof(line), "c%u %s\n", console->last_id, command);
	cr_assert_eq(
	    write(console->fd, line, strlen(line)), (ssize_t)strlen(line));
	snprintf(mark, sizeof(mark), "c%u= ", console->last_id);
	end = console_wait(console, from, mark, 300000);
	console_wait(console, end, "\n", 300000);

	snprintf(mark, sizeof(mark), "c%u> ", console->last_id);
	reply[0] = '\0';
	for (char *at = console->text + from;
	     (at = strstr(at, mark)) != NULL && at < console->text + end;) {
		int len;

		at += strlen(mark);
		len = (int)strcspn(at, "\n");
		used += (size_t)snprintf(
		    reply + used, sizeof(reply) - used, "%.*s\n", len, at);
	}
	cr_assert_eq(atoi(console->text + end + strlen(mark)), 0,
	    "the guest's '%s' failed: %s", command, reply);
	return reply;
}

unsigned
ticks_check(const char *text)
{
	unsigned last = 0;

	while (text != NULL && *text != '\0') {
		const char *end = strchr(text, '\n');
		unsigned n;
		int used = 0;

		if (end == NULL)
			break;
		if (sscanf(text, "tick %u%n", &n, &used) == 1 &&
		    text + used == end) {
			cr_assert(last == 0 || n == last + 1,
			    "tick %u after tick %u", n, last);
			last = n;
		}
		text = end + 1;
	}
	return last;
}

/* --- bytes --- */

uint64_t
file_hash(int fd)
{
	static unsigned char buf[1 << 20];
	uint64_t hash = 0xcbf29ce484222325u;
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), at)) > 0) {
		for (ssize_t i = 0; i + 8 <= n; i += 8) {
			uint64_t word;

			memcpy(&word, buf + i, 8);
			hash = (hash ^ word) * 0x100000001b3u;
		}
		at += n;
	}
	return hash;
}

char *
file_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = calloc(1, 1 << 20);
	ssize_t n;

	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	cr_assert_not_null(text);
	n = read(fd, text, (1 << 20) - 1);
	cr_assert_geq(n, 0);
	close(fd);
	for (ssize_t i = 0, k = 0; i <= n; i++)
		if (text[i] != '\r')
			text[k++] = text[i];
	return text;
}

#define WAIT_ROUNDS 6000 /* of 10 ms */

char *
guest_wait_text(const char *path, const char *pattern)
{
	unsigned i;

	for (i = 0; i < WAIT_ROUNDS; i++) {
		char *text = access(path, R_OK) == 0 ? file_text(path) : NULL;

		if (text != NULL && strstr(text, pattern) != NULL)
			return text;
		free(text);
		usleep(10000);
	}
	cr_assert_fail("no '%s' in %s", pattern, path);
	return NULL;
}

unsigned
guest_children(void)
{
	char path[64], *text, *p;
	unsigned count = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	text = file_text(path);
	for (p = strtok(text, " \n"); p != NULL; p = strtok(NULL, " \n"))
		count++;
	free(text);
	return count;
}
