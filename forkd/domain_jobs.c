/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One function a command.
 */
#include "forkd/domain_jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libfork/domain_config.h>
#include <libfork/vmi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/domain_fork.h"
#include "forkd/domain_process.h"
#include "forkd/hosted.h"
#include "forkd/job.h"
#include "forkd/lease.h"
#include "forkd/vcpu_value.h"

/* How long the other end of a lease may take to read the snapshot. */
#define SEND_SECONDS 30

/* How long a guest may take to arrive at an address, if nothing else is said.
 */
#define ARRIVE_SECONDS 60

/* The domain is there: lets it run, if it shall, or ends it. */
static int
begin_life(
    struct job *job, struct lf_domain *take_domain, struct lf_error *error)
{
	int rc = job_go_on(job, take_domain, error);

	if (rc < 0)
		lf_domain_free(take_domain);
	else
		job->hosted->domain = take_domain;
	return rc;
}

static int
boot(struct job *job, struct lf_error *error)
{
	struct lf_domain_config *config = NULL;
	struct lf_domain *domain = NULL;
	int rc;

	rc = job_config(job, &config, error);
	if (rc < 0)
		return rc;
	rc =
	    lf_domain_create(config, &job->hosted->launcher.lf, &domain, error);
	lf_domain_config_free(config);
	return rc < 0 ? rc : begin_life(job, domain, error);
}

static int
fork_snapshot(struct job *job, const struct lf_domain_config *config,
    int devstate, struct lf_domain **ret_domain, struct lf_error *error)
{
	struct lf_fork_options options;
	struct lf_snapshot *snapshot = NULL;
	int rc;

	rc =
	    lf_snapshot_receive(job->hosted->process->origin, &snapshot, error);
	if (rc < 0)
		return error_prefix(
		    error, rc, "the parent's snapshot did not arrive");
	lf_fork_options_init(&options);
	options.backend = LF_BACKEND_QEMU;
	options.name = config->name;
	options.launcher = &job->hosted->launcher.lf;
	options.config = config;
	options.devstate_fd = devstate;
	rc = lf_domain_fork(snapshot, &options, ret_domain, error);
	lf_snapshot_unref(snapshot);
	return rc;
}

static int
fork_(struct job *job, struct lf_error *error)
{
	cleanup_close int devstate = job_fd(job, "devstate");
	struct lf_domain_config *config = NULL;
	struct lf_domain *domain = NULL;
	int rc;

	/* Open as long as we live: the parent's process counts on it. */
	job->hosted->process->origin = job_fd(job, "origin");
	rc = job_config(job, &config, error);
	if (rc < 0)
		return rc;
	rc = fork_snapshot(job, config, devstate, &domain, error);
	lf_domain_config_free(config);
	return rc < 0 ? rc : begin_life(job, domain, error);
}

static int
pause_(struct job *job, struct lf_error *error)
{
	return lf_domain_pause(job->hosted->domain, error);
}

/* A frozen domain that forks still hold is not thawed: libfork counts them. */
static int
unpause(struct job *job, struct lf_error *error)
{
	int rc = 0;

	if (lf_domain_state(job->hosted->domain) == LF_DOMAIN_FROZEN)
		rc = lf_domain_thaw(job->hosted->domain, error);
	return rc < 0 ? rc : lf_domain_unpause(job->hosted->domain, error);
}

static int
shutdown_(struct job *job, struct lf_error *error)
{
	return lf_domain_shutdown(job->hosted->domain, error);
}

/* "0x" and hexadecimal digits, nothing else. */
static int
address_argument(
    const struct job *job, uint64_t *ret_address, struct lf_error *error)
{
	const char *text = json_string_value(job_argument(job, "at"));
	size_t digits = strspn(text, "0123456789abcdefx");

	if (strncmp(text, "0x", 2) != 0 || text[2] == '\0' ||
	    strchr(text + 2, 'x') != NULL || text[digits] != '\0')
		return error_set(error, EINVAL,
		    "'%.32s' is no address: 0x and hexadecimal digits are "
		    "wanted",
		    text);
	*ret_address = strtoull(text, NULL, 16);
	return 0;
}

/* A symbol of the kernel that a frozen domain's guest is. */
static int
find_symbol(struct lf_domain *domain, const char *name, uint64_t *ret_address,
    struct lf_error *error)
{
	struct lf_kernel *kernel;
	int rc = lf_kernel_find_in(domain, &kernel, error);

	if (rc < 0)
		return rc;
	rc = lf_symbols_resolve(
	    lf_kernel_symbols(kernel), name, ret_address, error);
	lf_kernel_free(kernel);
	return rc;
}

/*
 * The guest stands while its memory is searched, and is what it was before
 * then: the symbols are what a guest wrote, so it is done here and not in
 * forkd.
 */
static int
symbol_argument(
    const struct job *job, uint64_t *ret_address, struct lf_error *error)
{
	struct lf_domain *domain = job->hosted->domain;
	const char *name = json_string_value(job_argument(job, "at"));
	bool runs = lf_domain_state(domain) == LF_DOMAIN_RUNNING;
	struct lf_snapshot *snapshot;
	struct lf_error why;
	int rc, back;

	rc = lf_domain_freeze(domain, &snapshot, error);
	if (rc == 0) {
		rc = find_symbol(domain, name, ret_address, error);
		lf_snapshot_unref(snapshot);
		back = lf_domain_thaw(domain, &why);
		if (back < 0 && rc == 0) {
			*error = why;
			rc = back;
		}
	}
	if (runs && lf_domain_state(domain) == LF_DOMAIN_PAUSED) {
		back = lf_domain_unpause(domain, &why);
		if (back < 0 && rc == 0) {
			*error = why;
			rc = back;
		}
	}
	return rc;
}

static int
freeze_at(
    struct job *job, struct lf_snapshot **ret_snapshot, struct lf_error *error)
{
	const json_t *timeout = job_argument(job, "timeout");
	const json_t *cr3 = job_argument(job, "cr3");
	struct lf_freeze_at at = {
	    .match_cr3 = cr3 != NULL,
	    .cr3 = (uint64_t)json_integer_value(cr3),
	    .count =
		(uint64_t)json_integer_value(job_argument(job, "arrivals")),
	    .timeout_ms = ARRIVE_SECONDS * 1000,
	};
	struct lf_arrival arrival;
	char address[24];
	int rc;

	if (timeout != NULL)
		at.timeout_ms = (int)json_integer_value(timeout) * 1000;
	rc = json_is_true(job_argument(job, "guest-symbols"))
		 ? symbol_argument(job, &at.address, error)
		 : address_argument(job, &at.address, error);
	if (rc == 0)
		rc = lf_domain_freeze_at(
		    job->hosted->domain, &at, ret_snapshot, &arrival, error);
	if (rc < 0)
		return rc;
	snprintf(address, sizeof(address), "0x%" PRIx64, at.address);
	job->result = json_pack("{s:I, s:s, s:I, s:I}", "vcpu",
	    (json_int_t)arrival.vcpu, "address", address, "cr3",
	    (json_int_t)arrival.cr3, "arrivals", (json_int_t)arrival.arrivals);
	return 0;
}

static int
freeze(struct job *job, struct lf_error *error)
{
	struct lf_snapshot *snapshot = NULL;
	int rc;

	/* The domain keeps a reference of its own. */
	if (job_argument(job, "at") != NULL)
		rc = freeze_at(job, &snapshot, error);
	else
		rc = lf_domain_freeze(job->hosted->domain, &snapshot, error);
	if (rc == 0)
		lf_snapshot_unref(snapshot);
	return rc;
}

static int
save_devstate(struct job *job, struct lf_error *error)
{
	cleanup_close int fd = job_fd(job, "fd");
	struct lf_snapshot *snapshot = NULL;
	int rc;

	rc = lf_domain_freeze(job->hosted->domain, &snapshot, error);
	if (rc < 0)
		return rc;
	rc = lf_snapshot_write_devstate(snapshot, fd, error);
	lf_snapshot_unref(snapshot);
	return rc;
}

static int
send_snapshot(struct job *job, struct lf_error *error)
{
	struct timeval limit = {SEND_SECONDS, 0};
	cleanup_close int sock = job_fd(job, "fd");
	struct lf_snapshot *snapshot = NULL;
	struct lease *lease;
	int rc;

	if (lf_domain_state(job->hosted->domain) != LF_DOMAIN_FROZEN)
		return error_set(
		    error, EBADFD, "the parent is not frozen any more");
	if (sys.setsockopt(
		sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return error_sys(
		    error, errno, "cannot set a socket's time-out");
	rc = lf_domain_freeze(job->hosted->domain, &snapshot, error);
	if (rc < 0)
		return rc;
	lease = sys.calloc(1, sizeof(*lease));
	rc = lease == NULL ? error_nomem(error)
			   : lf_snapshot_send(sock, snapshot, error);
	if (rc < 0) {
		free(lease);
		lf_snapshot_unref(snapshot);
		return rc;
	}
	*lease = (struct lease){.sock = take_fd(&sock),
	    .domain = job->hosted->id,
	    .holder = json_integer_value(job_argument(job, "holder")),
	    .snapshot = snapshot};
	job->lease = lease;
	return 0;
}

static int
reset(struct job *job, struct lf_error *error)
{
	struct lf_domain *domain = job->hosted->domain;
	int rc = lf_domain_reset(domain, error);

	return rc < 0 ? rc : job_go_on(job, domain, error);
}

static int
registers(struct job *job, struct lf_error *error)
{
	json_t *list = NULL;
	int rc = vcpu_value_registers(job->hosted->domain, &list, error);

	if (rc == 0)
		job->result = json_pack("{s:o}", "registers", list);
	return rc;
}

static int
pages(struct job *job, struct lf_error *error)
{
	uint64_t count = 0;
	int rc = lf_domain_own_pages(job->hosted->domain, &count, error);

	if (rc == 0)
		job->result = json_pack("{s:I}", "pages", (json_int_t)count);
	return rc;
}

/* What there is to tell is known when the jobs before it are done. */
static int
describe(struct job *job, struct lf_error *error)
{
	(void)job;
	(void)error;
	return 0;
}

static int
destroy(struct job *job, struct lf_error *error)
{
	(void)error;
	lf_dm_pool_free(take_ptr(job->hosted->pool));
	lf_domain_free(take_ptr(job->hosted->domain));
	return 0;
}

static int (*const jobs[ROLE_COMMAND_COUNT])(
    struct job *job, struct lf_error *error) = {
    [ROLE_BOOT] = boot,
    [ROLE_FORK] = fork_,
    [ROLE_PAUSE] = pause_,
    [ROLE_UNPAUSE] = unpause,
    [ROLE_SHUTDOWN] = shutdown_,
    [ROLE_FREEZE] = freeze,
    [ROLE_SAVE_DEVSTATE] = save_devstate,
    [ROLE_SEND_SNAPSHOT] = send_snapshot,
    [ROLE_FORK_HERE] = domain_fork_here,
    [ROLE_PREPARE] = domain_prepare,
    [ROLE_LAUNCH] = domain_launch,
    [ROLE_RESET] = reset,
    [ROLE_REGISTERS] = registers,
    [ROLE_PAGES] = pages,
    [ROLE_DESCRIBE] = describe,
    [ROLE_DESTROY] = destroy,
};

void
domain_job_run(struct job *job)
{
	job->rc = jobs[job->command](job, &job->error);
}
