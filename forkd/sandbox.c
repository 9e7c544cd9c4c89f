/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sandbox: one table, a row for each allowed call with its reason.
 */
#include "forkd/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"

#define DOMAIN   (1U << SANDBOX_DOMAIN)
#define PROBE    (1U << SANDBOX_PROBE)
#define ALL      (DOMAIN | PROBE)
#define NR(name) SCMP_SYS(name)

/* clang-format off */
const struct sandbox_call sandbox_calls[] = {
    /* Memory. */
    {NR(mmap), ALL, "guest memory, allocations, thread stacks"},
    {NR(munmap), ALL, "the same given back"},
    {NR(mremap), ALL, "large allocations that grow"},
    {NR(mprotect), ALL, "guard pages, heaps of threads"},
    {NR(madvise), ALL, "pages of a fork given back, stacks of threads"},
    {NR(brk), ALL, "allocations"},
    {NR(mincore), DOMAIN, "which pages of a guest are there"},
    {NR(membarrier), ALL, "C library, when a thread is made"},
    {NR(userfaultfd), DOMAIN, "write protection of guest memory"},

    /* Memory files. */
    {NR(memfd_create), DOMAIN, "guest memory and what a stream brings"},
    {NR(ftruncate), DOMAIN, "size of guest memory"},
    {NR(fallocate), DOMAIN, "memory of a guest given back"},
    {NR(fcntl), ALL, "seals, close-on-exec, non-blocking, copies"},
    {NR(fstat), ALL, "what a received descriptor is"},
    {NR(newfstatat), ALL, "fstat() of the C library, on a descriptor"},
    {NR(lseek), DOMAIN, "data and holes of guest memory"},

    /* Descriptors that are open. */
    {NR(read), ALL, "streams, images, events"},
    {NR(readv), DOMAIN, "streams"},
    {NR(pread64), DOMAIN, "images, logs, guest memory"},
    {NR(write), ALL, "streams, events, answers"},
    {NR(writev), DOMAIN, "streams"},
    {NR(pwrite64), DOMAIN, "guest memory, a device-state file"},
    {NR(close), ALL, "what is not needed any more"},
    {NR(dup), DOMAIN, "descriptors that get a second owner"},
    {NR(ioctl), ALL, "KVM, userfaultfd, page maps"},
    {NR(poll), ALL, "waiting"},
    {NR(ppoll), DOMAIN, "waiting"},
    {NR(select), DOMAIN, "waiting"},

    /* Sockets: those that are there, and pairs. */
    {NR(socketpair), DOMAIN, "a stream into QEMU"},
    {NR(pipe2), DOMAIN, "a stream out of QEMU; waking a thread"},
    {NR(sendmsg), DOMAIN, "messages with descriptors"},
    {NR(recvmsg), DOMAIN, "messages with descriptors"},
    {NR(sendto), DOMAIN, "messages"},
    {NR(recvfrom), DOMAIN, "messages"},
    {NR(accept4), DOMAIN, "the next forkd connects"},
    {NR(getsockopt), DOMAIN, "who it is that connects"},
    {NR(setsockopt), DOMAIN, "time-outs"},
    {NR(getsockname), DOMAIN, "event loop"},
    {NR(shutdown), DOMAIN, "the end of a stream"},

    /* Events and time. */
    {NR(epoll_create1), DOMAIN, "event loop"},
    {NR(epoll_ctl), DOMAIN, "event loop"},
    {NR(epoll_wait), DOMAIN, "event loop"},
    {NR(epoll_pwait), DOMAIN, "event loop"},
    {NR(eventfd2), DOMAIN, "one thread wakes another"},
    {NR(timerfd_create), DOMAIN, "time limits"},
    {NR(timerfd_settime), DOMAIN, "time limits"},
    {NR(clock_gettime), ALL, "time limits, where the vDSO does not help"},
    {NR(clock_nanosleep), ALL, "short waits"},
    {NR(nanosleep), ALL, "short waits"},
    {NR(gettimeofday), ALL, "time limits"},

    /* Threads and signals of this process. */
    {NR(futex), ALL, "locks between threads"},
    {NR(set_robust_list), ALL, "C library, in a new thread"},
    {NR(rseq), ALL, "C library, in a new thread"},
    {NR(sched_yield), ALL, "locks between threads"},
    {NR(sched_getaffinity), ALL, "how many threads make sense"},
    {NR(rt_sigaction), ALL, "a signal that stops a vCPU"},
    {NR(rt_sigprocmask), ALL, "C library, around a new thread"},
    {NR(rt_sigreturn), ALL, "the end of a signal handler"},
    {NR(sigaltstack), ALL, "C library and sanitizers"},
    {NR(tgkill), ALL, "a signal to a thread of this process"},
    {NR(getpid), ALL, "log, and who we are for tgkill"},
    {NR(gettid), ALL, "threads"},
    {NR(getuid), ALL, "who may connect"},
    {NR(geteuid), ALL, "who may connect"},
    {NR(getrandom), ALL, "hash tables of JSON objects"},
    {NR(restart_syscall), ALL, "kernel, after a stop"},
    {NR(exit), ALL, "the end of a thread"},
    {NR(exit_group), ALL, "the end"},
    {NR(pidfd_send_signal), DOMAIN, "the end of the own QEMU"},
    {NR(prctl), ALL, "names of threads and mappings"},
    {NR(getrusage), DOMAIN, "counters"},
    {-1, 0, NULL},
};

/*
 * What nobody calls by accident: the process ends. All others that are not
 * listed fail with EPERM, since a C library may try something new one day.
 */
static const int deadly[] = {
    NR(execve), NR(execveat), NR(fork), NR(vfork), NR(ptrace),
    NR(process_vm_readv), NR(process_vm_writev), NR(mount), NR(umount2),
    NR(pivot_root), NR(chroot), NR(setuid), NR(setresuid), NR(setns),
    NR(unshare), NR(bpf), NR(init_module), NR(finit_module), NR(kexec_load),
    NR(bind), NR(connect), NR(open_by_handle_at), NR(io_uring_setup),
};
/* clang-format on */

static int
add_rules(scmp_filter_ctx filter, enum sandbox_role role)
{
	const struct sandbox_call *call;
	size_t i;
	int rc = 0;

	for (call = sandbox_calls; rc == 0 && call->number != -1; call++)
		if (call->roles & (1U << role))
			rc = seccomp_rule_add(
			    filter, SCMP_ACT_ALLOW, call->number, 0);
	/*
	 * Threads, not processes. The flags of clone3 are behind a pointer,
	 * out of the filter's sight: the C library then falls back to clone.
	 */
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, NR(clone), 1,
		    SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (rc == 0)
		rc = seccomp_rule_add(
		    filter, SCMP_ACT_ERRNO(ENOSYS), NR(clone3), 0);
	for (i = 0; rc == 0 && i < sizeof(deadly) / sizeof(deadly[0]); i++)
		rc = seccomp_rule_add(
		    filter, SCMP_ACT_KILL_PROCESS, deadly[i], 0);
	return rc;
}

int
sandbox_enter(enum sandbox_role role, struct lf_error *error)
{
	struct rlimit none = {0, 0};
	scmp_filter_ctx filter;
	int rc;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_sys(error, errno, "cannot give up privileges");
	/* No core with guest memory, no file of any size, no program. */
	if (sys.setrlimit(RLIMIT_CORE, &none) < 0)
		return error_sys(error, errno, "cannot set a limit");
	filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (filter == NULL)
		return error_nomem(error);
	rc = add_rules(filter, role);
	/* The probe opens /dev/kvm itself, as the user to be judged. */
	if (rc == 0 && role == SANDBOX_PROBE)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, NR(openat), 0);
	if (rc == 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	if (rc < 0)
		return error_sys(error, -rc, "cannot enter the sandbox");
	return 0;
}

int
sandbox_become(uid_t uid, gid_t gid, gid_t extra_gid, struct lf_error *error)
{
	gid_t groups[] = {gid, extra_gid};

	if (setgroups(extra_gid == gid ? 1 : 2, groups) < 0 ||
	    setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return error_sys(error, errno, "cannot become user %u", uid);
	return 0;
}
