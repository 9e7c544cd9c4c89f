/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domains of an earlier forkd.
 */
#include "forkd/adopt.h"

#include <errno.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/change.h"
#include "forkd/daemon.h"
#include "forkd/life.h"
#include "forkd/peer.h"
#include "forkd/registry.h"
#include "forkd/role.h"

/*
 * How long an adopted domain process may take to answer. It does so at once,
 * but for a domain that is being launched or reset: that comes to its end
 * first.
 */
#define DESCRIBE_MS 120000

/* A question that the domain's end may come before. */
struct question {
	struct daemon *daemon;
	unsigned id;
};

/* Takes over what its process says of it. */
static void
take_over(struct domain *domain, const json_t *described)
{
	const char *state =
	    json_string_value(json_object_get(described, "state"));
	const char *reason =
	    json_string_value(json_object_get(described, "reason"));

	domain->established = true;
	change_adopt(domain, described);
	if (json_is_true(json_object_get(described, "ended"))) {
		life_destroy(domain->owner, domain, "poweroff", NULL, NULL);
		return;
	}
	life_report(domain, control_state_parse(state),
	    reason != NULL ? reason : "", described);
	change_launch_wanted(domain);
}

/* It may live in another's process all the same: that is told to end it. */
static void
remove_unready(struct domain *domain)
{
	daemon_log("domain %u ('%s') was not ready yet and is removed",
	    domain->id, domain->config->name);
	life_destroy(domain->owner, domain, "failed", NULL, NULL);
}

static void
on_described(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct question *question = opaque;
	struct daemon *daemon = question->daemon;
	struct domain *domain =
	    registry_find_id(&daemon->registry, question->id);
	const char *state = json_string_value(json_object_get(result, "state"));

	(void)answer;
	free(question);
	/* A forkd that ends hears no answer; the next one asks again. */
	if (domain == NULL || domain->doomed || daemon->registry.closing)
		return;
	if (error != NULL && error->code == -ENOMEM) {
		/* It was not asked at all. What is on record has to do. */
		daemon_log_error(error);
		domain->launching = false;
		return;
	}
	if (error != NULL && domain->host != 0 && !domain->established) {
		remove_unready(domain);
		return;
	}
	if (error != NULL && domain->host != 0) {
		life_crash(
		    domain, "its domain process does not know it any more");
		return;
	}
	if (error != NULL || control_state_parse(state) == 0) {
		/* It is of no use; its end makes the domain a crashed one. */
		daemon_log("domain %u does not answer: %s", domain->id,
		    error != NULL ? error->message : "bad answer");
		process_kill(&domain->process);
		return;
	}
	take_over(domain, result);
}

static int
ask(struct daemon *daemon, struct domain *domain, struct lf_error *error)
{
	struct question *question = sys.calloc(1, sizeof(*question));

	if (question == NULL)
		return error_nomem(error);
	*question = (struct question){daemon, domain->id};
	change_adopt_begin(domain);
	life_call(
	    domain, ROLE_DESCRIBE, NULL, DESCRIBE_MS, on_described, question);
	return 0;
}

static int
connect_process(
    struct daemon *daemon, struct domain *domain, struct lf_error *error)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	cleanup_close int sock = -1;

	if ((size_t)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket",
		domain->dir) >= sizeof(addr.sun_path))
		return error_set(error, ENAMETOOLONG,
		    "socket path in '%s' is too long", domain->dir);
	sock =
	    sys.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return error_sys(error, errno, "cannot make a socket");
	if (sys.connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return error_sys(
		    error, errno, "cannot connect to '%s'", addr.sun_path);
	return life_link(daemon, domain, take_fd(&sock), error);
}

/* A domain with a process of its own. */
static int
adopt_process(
    struct daemon *daemon, struct domain *domain, struct lf_error *error)
{
	int rc = connect_process(daemon, domain, error);

	if (rc == -ECONNREFUSED || rc == -ENOENT) {
		/* It does not listen any more: it is about to end. */
		daemon_log_error(error);
		process_kill(&domain->process);
		return 0;
	}
	if (rc == 0)
		rc = ask(daemon, domain, error);
	return rc == 0
		   ? 0
		   : error_prefix(error, rc, "cannot adopt domain %u ('%s')",
			 domain->id, domain->config->name);
}

int
adopt_domain(
    struct daemon *daemon, struct domain *domain, struct lf_error *error)
{
	const struct domain *host;
	int rc;

	rc = life_watch(daemon, domain, error);
	if (rc < 0)
		return rc;
	host = registry_host(domain);
	/*
	 * One that lives in another's process may be ready, and somebody may
	 * have been told so: that process knows.
	 */
	if (!domain->established &&
	    (domain->host == 0 || host == NULL || host->link == NULL)) {
		remove_unready(domain);
		return 0;
	}
	if (host == NULL || host->process.pidfd < 0) {
		process_kill(&domain->qemu);
		life_crash(domain, "its domain process is gone");
		return 0;
	}
	if (host == domain)
		return adopt_process(daemon, domain, error);
	/* Without a link it is about to end; that is seen soon. */
	return host->link != NULL ? ask(daemon, domain, error) : 0;
}
