/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the worker of a domain process does: one function a command.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libfork/domain_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/domain_process.h"

/* How long the other end of a lease may take to read the snapshot. */
#define SEND_SECONDS 30

/* How long a guest may take to arrive at an address, if nothing else is said.
 */
#define ARRIVE_SECONDS 60

static json_t *
argument(const struct job *job, const char *name)
{
	return json_object_get(job->request->arguments, name);
}

static int
fd_argument(struct job *job, const char *name)
{
	const json_t *index = argument(job, name);

	if (index == NULL)
		return -1;
	return channel_message_take_fd(
	    &job->request->message, (size_t)json_integer_value(index));
}

static int
config_argument(const struct job *job, struct lf_domain_config **ret_config,
    struct lf_error *error)
{
	cleanup_free char *text =
	    json_dumps(argument(job, "config"), JSON_COMPACT);

	if (text == NULL)
		return error_nomem(error);
	return lf_domain_config_from_json(
	    text, strlen(text), ret_config, error);
}

/* The domain is there: lets it run, if it shall, or ends it. */
static int
begin_life(struct domain_process *p, struct job *job,
    struct lf_domain *take_domain, struct lf_error *error)
{
	cleanup_free char *facts = NULL;
	int rc;

	rc = lf_domain_describe(take_domain, &facts, error);
	if (rc == 0 && !json_is_true(argument(job, "paused")))
		rc = lf_domain_unpause(take_domain, error);
	if (rc < 0) {
		lf_domain_free(take_domain);
		return rc;
	}
	job->facts = json_loads(facts, 0, NULL);
	p->domain = take_domain;
	return 0;
}

static int
boot(struct domain_process *p, struct job *job, struct lf_error *error)
{
	struct lf_domain_config *config = NULL;
	struct lf_domain *domain = NULL;
	int rc;

	rc = config_argument(job, &config, error);
	if (rc < 0)
		return rc;
	rc = lf_domain_create(config, &p->launcher, &domain, error);
	lf_domain_config_free(config);
	return rc < 0 ? rc : begin_life(p, job, domain, error);
}

static int
fork_snapshot(struct domain_process *p, struct job *job,
    const struct lf_domain_config *config, int devstate,
    struct lf_domain **ret_domain, struct lf_error *error)
{
	struct lf_fork_options options;
	struct lf_snapshot *snapshot = NULL;
	int rc;

	(void)job;
	rc = lf_snapshot_receive(p->origin, &snapshot, error);
	if (rc < 0)
		return error_prefix(
		    error, rc, "the parent's snapshot did not arrive");
	lf_fork_options_init(&options);
	options.backend = LF_BACKEND_QEMU;
	options.name = config->name;
	options.launcher = &p->launcher;
	options.config = config;
	options.devstate_fd = devstate;
	rc = lf_domain_fork(snapshot, &options, ret_domain, error);
	lf_snapshot_unref(snapshot);
	return rc;
}

static int
fork_(struct domain_process *p, struct job *job, struct lf_error *error)
{
	cleanup_close int devstate = fd_argument(job, "devstate");
	struct lf_domain_config *config = NULL;
	struct lf_domain *domain = NULL;
	int rc;

	/* Open as long as we live: the parent's process counts on it. */
	p->origin = fd_argument(job, "origin");
	rc = config_argument(job, &config, error);
	if (rc < 0)
		return rc;
	rc = fork_snapshot(p, job, config, devstate, &domain, error);
	lf_domain_config_free(config);
	return rc < 0 ? rc : begin_life(p, job, domain, error);
}

static int
pause_(struct domain_process *p, struct job *job, struct lf_error *error)
{
	(void)job;
	return lf_domain_pause(p->domain, error);
}

/* A frozen domain that forks still hold is not thawed: libfork counts them. */
static int
unpause(struct domain_process *p, struct job *job, struct lf_error *error)
{
	int rc = 0;

	(void)job;
	if (lf_domain_state(p->domain) == LF_DOMAIN_FROZEN)
		rc = lf_domain_thaw(p->domain, error);
	return rc < 0 ? rc : lf_domain_unpause(p->domain, error);
}

static int
shutdown_(struct domain_process *p, struct job *job, struct lf_error *error)
{
	(void)job;
	return lf_domain_shutdown(p->domain, error);
}

/* "0x" and hexadecimal digits, nothing else. */
static int
address_argument(
    const struct job *job, uint64_t *ret_address, struct lf_error *error)
{
	const char *text = json_string_value(argument(job, "at"));
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

static int
freeze_at(struct domain_process *p, struct job *job,
    struct lf_snapshot **ret_snapshot, struct lf_error *error)
{
	const json_t *timeout = argument(job, "timeout");
	const json_t *cr3 = argument(job, "cr3");
	struct lf_freeze_at at = {
	    .match_cr3 = cr3 != NULL,
	    .cr3 = (uint64_t)json_integer_value(cr3),
	    .count = (uint64_t)json_integer_value(argument(job, "arrivals")),
	    .timeout_ms = ARRIVE_SECONDS * 1000,
	};
	struct lf_arrival arrival;
	char address[24];
	int rc;

	if (timeout != NULL)
		at.timeout_ms = (int)json_integer_value(timeout) * 1000;
	rc = address_argument(job, &at.address, error);
	if (rc == 0)
		rc = lf_domain_freeze_at(
		    p->domain, &at, ret_snapshot, &arrival, error);
	if (rc < 0)
		return rc;
	snprintf(address, sizeof(address), "0x%" PRIx64, at.address);
	job->result = json_pack("{s:I, s:s, s:I, s:I}", "vcpu",
	    (json_int_t)arrival.vcpu, "address", address, "cr3",
	    (json_int_t)arrival.cr3, "arrivals", (json_int_t)arrival.arrivals);
	return 0;
}

static int
freeze(struct domain_process *p, struct job *job, struct lf_error *error)
{
	struct lf_snapshot *snapshot = NULL;
	int rc;

	/* The domain keeps a reference of its own. */
	if (argument(job, "at") != NULL)
		rc = freeze_at(p, job, &snapshot, error);
	else
		rc = lf_domain_freeze(p->domain, &snapshot, error);
	if (rc == 0)
		lf_snapshot_unref(snapshot);
	return rc;
}

static int
save_devstate(struct domain_process *p, struct job *job, struct lf_error *error)
{
	cleanup_close int fd = fd_argument(job, "fd");
	struct lf_snapshot *snapshot = NULL;
	int rc;

	rc = lf_domain_freeze(p->domain, &snapshot, error);
	if (rc < 0)
		return rc;
	rc = lf_snapshot_write_devstate(snapshot, fd, error);
	lf_snapshot_unref(snapshot);
	return rc;
}

static int
send_snapshot(struct domain_process *p, struct job *job, struct lf_error *error)
{
	struct timeval limit = {SEND_SECONDS, 0};
	cleanup_close int sock = fd_argument(job, "fd");
	struct lf_snapshot *snapshot = NULL;
	struct lease *lease;
	int rc;

	if (lf_domain_state(p->domain) != LF_DOMAIN_FROZEN)
		return error_set(
		    error, EBADFD, "the parent is not frozen any more");
	if (sys.setsockopt(
		sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return error_sys(
		    error, errno, "cannot set a socket's time-out");
	rc = lf_domain_freeze(p->domain, &snapshot, error);
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
	    .holder = json_integer_value(argument(job, "holder")),
	    .snapshot = snapshot};
	job->lease = lease;
	return 0;
}

static int (*const jobs[ROLE_COMMAND_COUNT])(
    struct domain_process *p, struct job *job, struct lf_error *error) = {
    [ROLE_BOOT] = boot,
    [ROLE_FORK] = fork_,
    [ROLE_PAUSE] = pause_,
    [ROLE_UNPAUSE] = unpause,
    [ROLE_SHUTDOWN] = shutdown_,
    [ROLE_FREEZE] = freeze,
    [ROLE_SAVE_DEVSTATE] = save_devstate,
    [ROLE_SEND_SNAPSHOT] = send_snapshot,
};

void
domain_job_run(struct domain_process *process, struct job *job)
{
	job->rc = jobs[job->command](process, job, &job->error);
}
