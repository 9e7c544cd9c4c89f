/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Getting at the snapshot to fuzz.
 */
#include "xlfork/fuzz_target.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libfork/launcher.h>
#include <libfork/symbols.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "xlfork/session.h"

int
fuzz_target_program(const char *path, unsigned memory_mib,
    struct fuzz_target *target, struct lf_error *error)
{
	cleanup_close int fd = sys.open(path, O_RDONLY | O_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return error_sys(error, errno, "cannot open '%s'", path);
	rc = lf_fuzz_load_program(
	    fd, path, (uint64_t)memory_mib << 20, &target->snapshot, error);
	/* A stripped one works as well, without names. */
	if (rc == 0)
		lf_symbols_read(fd, path, 0, &target->symbols, NULL);
	/* User mode cannot change MSRs, debug registers or interrupts. */
	target->reset_groups =
	    LF_RESET_MEMORY | LF_RESET_REGS | LF_RESET_FPU | LF_RESET_TSC;
	return rc;
}

/* Asks forkd for the domain's snapshot; `sock` is where it comes. */
static int
ask_forkd(const char *domain, int sock, struct lf_error *error)
{
	cleanup_session struct session s = {.client = NULL};
	struct control_fds fds = {.send = &sock, .send_count = 1};
	json_t *arguments;
	int rc;

	rc = session_domain("domain", domain, &arguments, error);
	if (rc < 0)
		return rc;
	json_object_set_new(arguments, "fd", json_integer(0));
	rc = session_open(&s, false, error);
	if (rc < 0) {
		json_decref(arguments);
		return rc;
	}
	return session_call(&s, "lease-snapshot", arguments,
	    "getting the snapshot", &fds, NULL, error);
}

int
fuzz_target_domain(
    const char *domain, struct fuzz_target *target, struct lf_error *error)
{
	cleanup_close int theirs = -1;
	int sv[2], rc;

	if (sys.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return error_sys(error, errno, "cannot make a socket pair");
	target->lease = sv[0];
	theirs = sv[1];
	rc = ask_forkd(domain, theirs, error);
	if (rc == 0)
		rc = lf_snapshot_receive(
		    target->lease, &target->snapshot, error);
	if (rc == 0)
		rc = lf_launcher_spawn_new(NULL, &target->launcher, error);
	target->reset_groups = LF_RESET_ALL;
	return rc;
}

void
fuzz_target_done(struct fuzz_target *target)
{
	lf_symbols_free(target->symbols);
	lf_launcher_spawn_free(target->launcher);
	lf_snapshot_unref(target->snapshot);
	target->lease = close_fd(target->lease);
}
