/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Linux test guest under QEMU/TCG. QEMU inherits one end of each
 * socketpair and dies with this process, whatever becomes of the test.
 */
#include "tcg/linux_guest.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MS 300000

bool
linux_guest_on_kvm(void)
{
	const char *accelerator = getenv("LF_GUEST_ACCEL");

	return accelerator != NULL && strcmp(accelerator, "kvm") == 0;
}

static void
start_qemu(struct linux_guest *guest, unsigned vcpus, const char *append,
    int qmp_fd, int serial_fd)
{
	char qmp[64], serial[64], ram[160], port[128], kernel[256], initrd[256];
	char line[512], smp[16], size[16];
	const char *build = getenv("top_builddir");
	bool kvm = linux_guest_on_kvm();

	cr_assert_not_null(build);
	snprintf(qmp, sizeof(qmp), "socket,id=qmp,fd=%d", qmp_fd);
	snprintf(serial, sizeof(serial), "socket,id=tty,fd=%d", serial_fd);
	snprintf(ram, sizeof(ram),
	    "memory-backend-file,id=ram,size=%u,share=on,"
	    "mem-path=/proc/self/fd/%d",
	    LINUX_GUEST_RAM, guest->ram_fd);
	snprintf(port, sizeof(port), "file,id=port,path=%s/port", guest->dir);
	snprintf(kernel, sizeof(kernel), "%s/tests/guest/vmlinuz", build);
	snprintf(initrd, sizeof(initrd), "%s/tests/guest/initrd.img", build);
	snprintf(line, sizeof(line),
	    "console=ttyS0 quiet no_timer_check xf.run=agent %s", append);
	snprintf(smp, sizeof(smp), "%u", vcpus);
	snprintf(size, sizeof(size), "%uM", LINUX_GUEST_RAM >> 20);
	guest->pid = fork();
	cr_assert_geq(guest->pid, 0);
	if (guest->pid > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fcntl(qmp_fd, F_SETFD, 0);
	fcntl(serial_fd, F_SETFD, 0);
	fcntl(guest->ram_fd, F_SETFD, 0);
	execlp("qemu-system-x86_64", "qemu-system-x86_64", "-nodefaults",
	    "-display", "none", "-no-reboot", "-machine",
	    kvm ? "q35,accel=kvm,memory-backend=ram"
		: "q35,accel=tcg,memory-backend=ram",
	    "-cpu", kvm ? "host" : "max", "-object", ram, "-m", size, "-smp",
	    smp, "-chardev", qmp, "-mon", "chardev=qmp,mode=control",
	    "-chardev", serial, "-serial", "chardev:tty", "-chardev", port,
	    "-device", "virtio-serial-pci", "-device",
	    "virtserialport,chardev=port", "-kernel", kernel, "-initrd", initrd,
	    "-append", line, NULL);
	_exit(127);
}

/* One line from the guest, without its end; false when none came in time. */
static bool
next_line(struct linux_guest *guest, int timeout_ms, char *buf, size_t size)
{
	struct pollfd fd = {.fd = guest->serial, .events = POLLIN};
	char *newline;
	ssize_t n;

	while ((newline = memchr(guest->line, '\n', guest->len)) == NULL) {
		if (guest->len == sizeof(guest->line))
			guest->len = 0;
		if (poll(&fd, 1, timeout_ms) <= 0)
			return false;
		n = read(guest->serial, guest->line + guest->len,
		    sizeof(guest->line) - guest->len);
		if (n <= 0)
			return false;
		guest->len += n;
	}
	snprintf(buf, size, "%.*s", (int)(newline - guest->line), guest->line);
	buf[strcspn(buf, "\r")] = '\0';
	guest->len -= newline + 1 - guest->line;
	memmove(guest->line, newline + 1, guest->len);
	return true;
}

void
linux_guest_start(struct linux_guest *guest, unsigned vcpus, const char *append)
{
	struct lf_error error;
	char text[1024];
	int qmp[2], serial[2];

	memset(guest, 0, sizeof(*guest));
	snprintf(text, sizeof(text),
	    "%s/tests/guest/make-guest %s/tests/guest "
	    "linux",
	    getenv("top_srcdir"), getenv("top_builddir"));
	cr_assert_eq(system(text), 0, "%s", text);
	snprintf(guest->dir, sizeof(guest->dir), "/tmp/test-tcg-XXXXXX");
	cr_assert_not_null(mkdtemp(guest->dir));
	guest->ram_fd = memfd_create("ram", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(guest->ram_fd, LINUX_GUEST_RAM), 0);
	guest->ram = mmap(NULL, LINUX_GUEST_RAM, PROT_READ | PROT_WRITE,
	    MAP_SHARED, guest->ram_fd, 0);
	cr_assert_neq(guest->ram, MAP_FAILED);
	cr_assert_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, qmp), 0);
	cr_assert_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, serial), 0);
	start_qemu(guest, vcpus, append, qmp[1], serial[1]);
	close(qmp[1]);
	close(serial[1]);
	guest->serial = serial[0];
	cr_assert_eq(qmp_new(qmp[0], ANSWER_MS, &guest->qmp, &error), 0, "%s",
	    error.message);
	do
		cr_assert(next_line(guest, ANSWER_MS, text, sizeof(text)),
		    "the guest did not boot");
	while (strcmp(text, "agent> ready") != 0);
}

void
linux_guest_stop(struct linux_guest *guest)
{
	char path[128];

	kill(guest->pid, SIGKILL);
	waitpid(guest->pid, NULL, 0);
	qmp_free(guest->qmp);
	close(guest->serial);
	munmap(guest->ram, LINUX_GUEST_RAM);
	close(guest->ram_fd);
	snprintf(path, sizeof(path), "%s/port", guest->dir);
	unlink(path);
	rmdir(guest->dir);
}

void
linux_guest_send(struct linux_guest *guest, const char *command)
{
	char text[1024];
	int len;

	len =
	    snprintf(text, sizeof(text), "%u %s\n", ++guest->next_id, command);
	cr_assert_lt(len, (int)sizeof(text));
	cr_assert_eq(write(guest->serial, text, len), len);
}

int
linux_guest_run(
    struct linux_guest *guest, const char *command, char *buf, size_t size)
{
	char line[4096], output[16], end[16];
	size_t used = 0;

	linux_guest_send(guest, command);
	snprintf(output, sizeof(output), "%u> ", guest->next_id);
	snprintf(end, sizeof(end), "%u= ", guest->next_id);
	if (size > 0)
		buf[0] = '\0';
	for (;;) {
		cr_assert(next_line(guest, ANSWER_MS, line, sizeof(line)),
		    "no answer to '%s'", command);
		if (strncmp(line, end, strlen(end)) == 0)
			return atoi(line + strlen(end));
		if (strncmp(line, output, strlen(output)) == 0 && used < size)
			used += snprintf(buf + used, size - used, "%s\n",
			    line + strlen(output));
	}
}

void
linux_guest_output(
    struct linux_guest *guest, int timeout_ms, char *buf, size_t size)
{
	char line[4096];
	size_t used = 0;

	buf[0] = '\0';
	while (next_line(guest, timeout_ms, line, sizeof(line)))
		if (used < size)
			used += snprintf(buf + used, size - used, "%s\n", line);
}

char *
linux_guest_file(struct linux_guest *guest, const char *path, size_t *ret_len)
{
	static const char mark[] = "--end of file--";
	char command[256], file[128], *bytes = NULL;
	struct stat before = {0}, st;
	size_t len = 0;
	int fd, i;

	snprintf(file, sizeof(file), "%s/port", guest->dir);
	stat(file, &before);
	snprintf(command, sizeof(command),
	    "cat %s >/dev/vport0p1 2>/dev/null || cat %s >/dev/vport1p1; "
	    "printf '%s' >/dev/vport0p1 2>/dev/null || "
	    "printf '%s' >/dev/vport1p1",
	    path, path, mark, mark);
	cr_assert_eq(linux_guest_run(guest, command, NULL, 0), 0);
	/* The guest is done when QEMU may still be writing. */
	for (i = 0; i < 6000; i++) {
		fd = open(file, O_RDONLY | O_CLOEXEC);
		cr_assert_geq(fd, 0);
		cr_assert_eq(fstat(fd, &st), 0);
		len = st.st_size - before.st_size;
		bytes = realloc(bytes, len + 1);
		cr_assert_not_null(bytes);
		cr_assert_eq(
		    pread(fd, bytes, len, before.st_size), (ssize_t)len);
		close(fd);
		bytes[len] = '\0';
		if (len >= strlen(mark) &&
		    strcmp(bytes + len - strlen(mark), mark) == 0)
			break;
		usleep(10000);
	}
	cr_assert_lt(i, 6000, "'%s' did not arrive", path);
	len -= strlen(mark);
	bytes[len] = '\0';
	*ret_len = len;
	return bytes;
}
