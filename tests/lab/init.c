/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * First process of the lab: puts an overlay over the host's root file system,
 * sets the rest of a system up around it, runs one command and reports its
 * exit status.
 *
 * The command is in a directory of the host that lab.dir= on the kernel
 * command line names: files argv and env (strings ended by 0), cwd, shares
 * (directories to mount writable, ended by 0, tags share0, share1, …). Output
 * and exit status go through virtio port 1 as frames (frame.h); when the host
 * has the last one it ends the machine.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frame.h"

enum { STRINGS_MAX = 4096 };

/* Order matters: each needs those before it. */
static const char *const modules[] = {"virtio_ring", "virtio",
    "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci",
    "virtio_console", "fuse", "virtiofs", "overlay", "irqbypass", "kvm",
    "kvm-amd"};

static void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *format, ...)
{
	va_list arguments;
	int error = errno;

	printf("lab: ");
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf(": %s\n", strerror(error));
	fflush(stdout);
	reboot(RB_AUTOBOOT); /* QEMU runs with -no-reboot */
	for (;;)
		pause();
}

static void
load_module(const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/modules/%s.ko", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0)
		die("module %s", name);
	close(fd);
}

static void
mount_on(const char *type, const char *source, const char *target,
    unsigned long flags, const char *data)
{
	mkdir(target, 0755);
	if (mount(source, target, type, flags, data) < 0)
		die("mount %s on %s", source, target);
}

/* Value of a word NAME=VALUE on the kernel command line, to be freed. */
static char *
kernel_word(const char *name)
{
	static char line[4096];
	size_t len = strlen(name);
	FILE *file = fopen("/proc/cmdline", "re");
	char *found = NULL, *state = NULL;

	if (file == NULL || fgets(line, sizeof(line), file) == NULL)
		die("/proc/cmdline");
	fclose(file);
	for (char *word = strtok_r(line, " \n", &state); word != NULL;
	     word = strtok_r(NULL, " \n", &state)) {
		if (strncmp(word, name, len) == 0 && word[len] == '=')
			found = word + len + 1;
	}
	errno = ENOENT;
	if (found == NULL || (found = strdup(found)) == NULL)
		die("no %s= on the kernel command line", name);
	return found;
}

/* The strings of a file, each ended by 0, as an array ended by NULL. */
static char **
read_strings(const char *dir, const char *name)
{
	char path[512];
	struct stat status;
	char **strings, *text;
	size_t count = 0, len = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/lower%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0)
		die("%s", path);
	text = malloc((size_t)status.st_size + 1);
	strings = calloc(STRINGS_MAX + 1, sizeof(*strings));
	if (text == NULL || strings == NULL)
		die("%s", path);
	while ((n = read(fd, text + len, (size_t)status.st_size - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fd);
	for (size_t at = 0; at < len; at += strlen(text + at) + 1) {
		if (count == STRINGS_MAX) {
			errno = E2BIG;
			die("%s", path);
		}
		strings[count++] = text + at;
	}
	return strings;
}

static int
open_port(void)
{
	/* The first virtio device; the host announces its ports one by one
	 * after the driver is there. */
	for (int ms = 0; ms < 10000; ms++) {
		int fd = open("/dev/vport0p1", O_WRONLY | O_CLOEXEC);

		if (fd >= 0)
			return fd;
		usleep(1000);
	}
	die("/dev/vport0p1");
}

/* The bytes stand behind room for the head. */
static void
send_frame(int port, enum frame_kind kind, unsigned char *frame, size_t len)
{
	frame_set_head(frame, kind, len);
	for (size_t done = 0; done < FRAME_HEAD + len;) {
		ssize_t n = write(port, frame + done, FRAME_HEAD + len - done);

		if (n < 0 && errno != EINTR)
			die("output");
		if (n > 0)
			done += (size_t)n;
	}
}

/*
 * The kernel came up with one processor (maxcpus=1 in "run"), and what patches
 * its text, modules and hold_kvm_static_keys() before all, has been done: now
 * the others may come.
 */
static void
processors_up(void)
{
	for (unsigned i = 1;; i++) {
		char path[64];
		int fd;

		snprintf(path, sizeof(path),
		    "/sys/devices/system/cpu/cpu%u/online", i);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			return;
		if (write(fd, "1", 1) != 1)
			die("processor %u", i);
		close(fd);
	}
}

static void
loopback_up(void)
{
	struct ifreq request = {
	    .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		die("loopback");
	close(fd);
}

static void
set_up_root(char **shares, int fresh_tmp)
{
	mount_on("tmpfs", "tmpfs", "/upper", 0, "mode=755,size=75%");
	mkdir("/upper/data", 0755);
	mkdir("/upper/work", 0755);
	mount_on("overlay", "overlay", "/root", 0,
	    "lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work");
	if (chdir("/root") < 0)
		die("/root");
	mount_on(NULL, "/proc", "proc", MS_MOVE, NULL);
	mount_on(NULL, "/sys", "sys", MS_MOVE, NULL);
	mount_on(NULL, "/dev", "dev", MS_MOVE, NULL);
	mount_on(
	    "devpts", "devpts", "dev/pts", 0, "mode=620,ptmxmode=666,gid=5");
	mount_on(
	    "tmpfs", "tmpfs", "dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
	mount_on("tmpfs", "tmpfs", "run", MS_NOSUID | MS_NODEV, "mode=755");
	mkdir("run/lock", 01777);
	mount_on("cgroup2", "cgroup2", "sys/fs/cgroup", 0, NULL);
	/* A fresh /tmp, but not over what the command needs. */
	if (fresh_tmp)
		mount_on(
		    "tmpfs", "tmpfs", "tmp", MS_NOSUID | MS_NODEV, "mode=1777");
	for (unsigned i = 0; shares[i] != NULL; i++) {
		char tag[16];

		snprintf(tag, sizeof(tag), "share%u", i);
		mount_on("virtiofs", tag, shares[i] + 1, 0, NULL);
	}
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
		die("change of root");
	(void)!symlink("/proc/self/fd", "/dev/fd");
	(void)!symlink("/proc/self/fd/0", "/dev/stdin");
	(void)!symlink("/proc/self/fd/1", "/dev/stdout");
	(void)!symlink("/proc/self/fd/2", "/dev/stderr");
	chmod("/dev/kvm", 0666);
}

static pid_t
start(char **argv, char **env, const char *cwd, int out, int error)
{
	struct rlimit files = {1024, 1048576};
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid > 0)
		return pid;
	setsid();
	setrlimit(RLIMIT_NOFILE, &files);
	dup2(open("/dev/null", O_RDONLY), 0);
	dup2(out, 1);
	dup2(error, 2);
	if (chdir(cwd) < 0) {
		fprintf(stderr, "lab: %s: %s\n", cwd, strerror(errno));
		_exit(126);
	}
	execvpe(argv[0], argv, env);
	fprintf(stderr, "lab: %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* Pass on what is in the pipe; returns whether more can come. */
static int
pump(int from, int port, enum frame_kind kind)
{
	static unsigned char frame[FRAME_HEAD + FRAME_MAX];
	ssize_t n = read(from, frame + FRAME_HEAD, FRAME_MAX);

	if (n > 0)
		send_frame(port, kind, frame, (size_t)n);
	return n > 0 || (n < 0 && errno == EINTR);
}

/* Run until the command has ended; what it left behind does not count. */
static int
wait_for(pid_t command, int out, int error, int port)
{
	struct pollfd fds[2] = {
	    {.fd = out, .events = POLLIN}, {.fd = error, .events = POLLIN}};
	int status = 0, ended = 0;

	for (;;) {
		int ready = poll(fds, 2, ended ? 0 : 10);

		for (int i = 0; i < 2; i++) {
			if (fds[i].revents != 0 &&
			    !pump(fds[i].fd, port,
				i == 0 ? FRAME_OUTPUT : FRAME_ERROR))
				fds[i].fd = -1;
		}
		if (ended && ready <= 0)
			return WIFEXITED(status) ? WEXITSTATUS(status)
						 : 128 + WTERMSIG(status);
		for (pid_t pid = 1; !ended && pid > 0;) {
			int one;

			pid = waitpid(-1, &one, WNOHANG);
			if (pid == command) {
				status = one;
				ended = 1;
			}
		}
	}
}

static int
kvm_object(int fd, unsigned long request, unsigned long argument)
{
	int object = ioctl(fd, request, argument);

	if (object < 0)
		die("KVM call 0x%lx", request);
	return object;
}

/*
 * KVM patches the kernel's text when the first VM comes and when the last one
 * goes (preempt_notifier_key, in the scheduler), and likewise for the first and
 * the last vCPU without a local APIC, with one disabled by software, with one
 * disabled by hardware. TCG sometimes keeps a translation of the breakpoint
 * that stands there meanwhile: the other processor then takes it for ever. So
 * one of each lives as long as the lab, and nothing is patched. No other
 * processor is there yet when these are made.
 */
static void
hold_kvm_static_keys(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct kvm_sregs sregs;
	int vm, vcpu;

	if (kvm < 0)
		return; /* no SVM: the command will see it */
	vm = kvm_object(kvm, KVM_CREATE_VM, 0);
	kvm_object(vm, KVM_CREATE_VCPU, 0);

	vm = kvm_object(kvm, KVM_CREATE_VM, 0);
	kvm_object(vm, KVM_CREATE_IRQCHIP, 0);
	kvm_object(vm, KVM_CREATE_VCPU, 0); /* its APIC begins disabled */
	vcpu = kvm_object(vm, KVM_CREATE_VCPU, 1);
	kvm_object(vcpu, KVM_GET_SREGS, (unsigned long)&sregs);
	sregs.apic_base &= ~(1ULL << 11); /* enable bit of IA32_APIC_BASE */
	kvm_object(vcpu, KVM_SET_SREGS, (unsigned long)&sregs);
}

int
main(void)
{
	unsigned char last[FRAME_HEAD + 1];
	int out[2], error[2], port;
	char **argv, **env, **cwd, **shares, *dir;
	pid_t pid;

	mount_on("proc", "proc", "/proc", 0, NULL);
	mount_on("sysfs", "sysfs", "/sys", 0, NULL);
	mount_on("devtmpfs", "devtmpfs", "/dev", 0, NULL);
	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
		load_module(modules[i]);
	hold_kvm_static_keys();
	processors_up();
	mount_on("virtiofs", "root", "/lower", MS_RDONLY, NULL);
	dir = kernel_word("lab.dir");
	argv = read_strings(dir, "argv");
	env = read_strings(dir, "env");
	cwd = read_strings(dir, "cwd");
	shares = read_strings(dir, "shares");
	set_up_root(shares, strcmp(kernel_word("lab.tmp"), "fresh") == 0);
	loopback_up();
	sethostname("lab", 3);

	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(error, O_CLOEXEC) < 0)
		die("pipe");
	/* execvpe looks for programs in this process's PATH. */
	for (char **word = env; *word != NULL; word++) {
		if (strncmp(*word, "PATH=", 5) == 0)
			putenv(*word);
	}
	port = open_port();
	pid = start(argv, env, cwd[0], out[1], error[1]);
	close(out[1]);
	close(error[1]);
	last[FRAME_HEAD] = (unsigned char)wait_for(pid, out[0], error[0], port);
	for (char **share = shares; *share != NULL; share++)
		syncfs(open(*share, O_RDONLY | O_CLOEXEC));
	send_frame(port, FRAME_STATUS, last, 1);
	for (;;)
		pause();
}
