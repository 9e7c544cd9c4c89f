/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What clients may ask for: the check before every command, and the short
 * ones.
 */
#include "forkd/command.h"

#include <errno.h>
#include <libfork/libfork.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/daemon.h"
#include "forkd/life.h"
#include "forkd/peer.h"
#include "forkd/role.h"

/* A domain process limits its own waiting; this is for one that hangs. */
#define FORWARD_MS 120000

static json_t *
id_and_name(const struct domain *domain)
{
	return json_pack("{s:I, s:s}", "id", (json_int_t)domain->id, "name",
	    domain->config->name);
}

/* --- about the daemon --- */

static void
capabilities(
    struct client *client, struct domain *none, struct peer_request *request)
{
	(void)client;
	(void)none;
	peer_return(request, json_object(), NULL, 0);
}

static void
version(
    struct client *client, struct domain *none, struct peer_request *request)
{
	struct daemon *daemon = client->daemon;

	(void)none;
	peer_return(request,
	    json_pack("{s:s, s:I, s:I, s:s, s:s, s:I, s:b}", "version",
		lf_version(), "pid", (json_int_t)getpid(), "uid",
		(json_int_t)geteuid(), "run-dir", daemon->run_dir, "state-dir",
		daemon->state_dir, "domains",
		(json_int_t)daemon->registry.count, "auto-exit",
		daemon->options.auto_exit),
	    NULL, 0);
}

static void
subscribe(
    struct client *client, struct domain *none, struct peer_request *request)
{
	(void)none;
	client->subscribed = true;
	peer_return(request, json_object(), NULL, 0);
}

static void
unsubscribe(
    struct client *client, struct domain *none, struct peer_request *request)
{
	(void)none;
	client->subscribed = false;
	peer_return(request, json_object(), NULL, 0);
}

/* --- about domains --- */

static void
domid(struct client *client, struct domain *none, struct peer_request *request)
{
	const char *name = peer_request_string(request, "name");
	const struct domain *domain =
	    registry_find_name(&client->daemon->registry, name);
	struct lf_error error;

	(void)none;
	if (domain == NULL) {
		error_set(&error, ENOENT,
		    "no domain has the name '%s'; 'xlfork list' shows them",
		    name);
		peer_fail(request, &error);
		return;
	}
	peer_return(
	    request, json_pack("{s:I}", "id", (json_int_t)domain->id), NULL, 0);
}

static void
domname(
    struct client *client, struct domain *domain, struct peer_request *request)
{
	(void)client;
	peer_return(
	    request, json_pack("{s:s}", "name", domain->config->name), NULL, 0);
}

static void
rename_(
    struct client *client, struct domain *domain, struct peer_request *request)
{
	const char *name = peer_request_string(request, "name");
	struct lf_error error;

	int rc = registry_rename(domain, name, &error);

	if (rc < 0) {
		peer_fail(request, &error);
		return;
	}
	if (rc > 0)
		daemon_event(client->daemon, "DOMAIN_RENAMED", domain, NULL);
	peer_return(request, id_and_name(domain), NULL, 0);
}

/* --- what the domain process does --- */

struct forward {
	struct daemon *daemon;
	struct peer_request *request;
	unsigned id;
};

static void
on_forwarded(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct forward *f = opaque;
	struct domain *domain = registry_find_id(&f->daemon->registry, f->id);
	struct lf_error why;

	(void)answer;
	if (error != NULL) {
		why = *error;
		if (domain != NULL)
			error_prefix(&why, why.code, "domain %u ('%s')",
			    domain->id, domain->config->name);
		peer_fail(f->request, &why);
	} else if (domain == NULL) {
		error_set(&why, ENOENT, "domain %u was destroyed", f->id);
		peer_fail(f->request, &why);
	} else {
		json_t *mine = id_and_name(domain);

		json_object_update(mine, result);
		peer_return(f->request, mine, NULL, 0);
	}
	free(f);
}

/* The domain process carries the request out; its answer is ours. */
static void
forward(struct client *client, struct domain *domain,
    struct peer_request *request, enum role_command_id command,
    const struct peer_load *load, int timeout_ms)
{
	struct forward *f = sys.calloc(1, sizeof(*f));
	struct lf_error error;

	if (f == NULL) {
		json_decref(load != NULL ? load->take_arguments : NULL);
		error_nomem(&error);
		peer_fail(request, &error);
		return;
	}
	*f = (struct forward){client->daemon, request, domain->id};
	life_call(domain, command, load, timeout_ms, on_forwarded, f);
}

/* The same, with the descriptor that came with the request. */
static void
forward_fd(struct client *client, struct domain *domain,
    struct peer_request *request, enum role_command_id command)
{
	int fd = peer_request_fd(request, "fd");
	struct peer_load load = {.take_arguments = json_pack("{s:i}", "fd", 0),
	    .fds = &fd,
	    .fd_count = 1};

	forward(client, domain, request, command, &load, FORWARD_MS);
	close_fd(fd);
}

static void
pause_(
    struct client *client, struct domain *domain, struct peer_request *request)
{
	forward(client, domain, request, ROLE_PAUSE, NULL, FORWARD_MS);
}

static void
unpause(
    struct client *client, struct domain *domain, struct peer_request *request)
{
	struct lf_error error;

	if (domain->state == CONTROL_FROZEN &&
	    registry_check_holders(domain, &error) < 0)
		peer_fail(request, &error);
	else
		forward(
		    client, domain, request, ROLE_UNPAUSE, NULL, FORWARD_MS);
}

static void
shutdown_(
    struct client *client, struct domain *domain, struct peer_request *request)
{
	struct lf_error error;

	if (domain->device_model) {
		forward(
		    client, domain, request, ROLE_SHUTDOWN, NULL, FORWARD_MS);
		return;
	}
	error_set(&error, EOPNOTSUPP,
	    "domain %u ('%s') has no device model, so no power button; use "
	    "'destroy', or launch its device model first",
	    domain->id, domain->config->name);
	peer_fail(request, &error);
}

static void
freeze(
    struct client *client, struct domain *domain, struct peer_request *request)
{
	const json_t *timeout = peer_request_argument(request, "timeout");
	struct peer_load load = {.take_arguments = json_object()};

	/* The domain process knows which domain is meant: itself. */
	if (request->arguments != NULL)
		json_object_update(load.take_arguments, request->arguments);
	json_object_del(load.take_arguments, "domain");
	forward(client, domain, request, ROLE_FREEZE, &load,
	    FORWARD_MS + (int)json_integer_value(timeout) * 1000);
}

static void
save_devstate(
    struct client *client, struct domain *domain, struct peer_request *request)
{
	forward_fd(client, domain, request, ROLE_SAVE_DEVSTATE);
}

/* To a process that forkd knows nothing of: no domain holds the snapshot. */
static void
lease(
    struct client *client, struct domain *domain, struct peer_request *request)
{
	forward_fd(client, domain, request, ROLE_SEND_SNAPSHOT);
}

static void (*const handlers[CONTROL_COMMAND_COUNT])(struct client *client,
    struct domain *domain, struct peer_request *request) = {
    [CONTROL_CAPABILITIES] = capabilities,
    [CONTROL_VERSION] = version,
    [CONTROL_CREATE] = command_create,
    [CONTROL_LIST] = command_list,
    [CONTROL_INFO] = command_info,
    [CONTROL_DOMID] = domid,
    [CONTROL_DOMNAME] = domname,
    [CONTROL_RENAME] = rename_,
    [CONTROL_PAUSE] = pause_,
    [CONTROL_UNPAUSE] = unpause,
    [CONTROL_SHUTDOWN] = shutdown_,
    [CONTROL_DESTROY] = command_destroy,
    [CONTROL_CONSOLE] = command_console,
    [CONTROL_FREEZE] = freeze,
    [CONTROL_SAVE_DEVSTATE] = save_devstate,
    [CONTROL_LEASE] = lease,
    [CONTROL_FORK] = command_fork,
    [CONTROL_LAUNCH] = command_launch,
    [CONTROL_RESET] = command_reset,
    [CONTROL_SUBSCRIBE] = subscribe,
    [CONTROL_UNSUBSCRIBE] = unsubscribe,
};

/* Whether the domain may be asked for this now. */
static int
check_state(const struct control_command *command, const struct domain *domain,
    struct lf_error *error)
{
	bool why = domain->reason[0] != '\0';

	if (domain->doomed)
		return error_set(error, EBADFD,
		    "domain %u ('%s') is being destroyed", domain->id,
		    domain->config->name);
	if (!domain->established && command->states != CONTROL_ANY_STATE)
		return error_set(error, EBUSY,
		    "domain %u ('%s') is not ready yet", domain->id,
		    domain->config->name);
	if (command->states & domain->state)
		return 0;
	return error_set(error, EBADFD,
	    "domain %u ('%s') is %s%s%s%s, '%s' is not possible now",
	    domain->id, domain->config->name, control_state_name(domain->state),
	    why ? " (" : "", why ? domain->reason : "", why ? ")" : "",
	    command->name);
}

void
command_run(struct client *client, struct peer_request *request)
{
	const struct control_command *command =
	    control_command_find(request->name);
	struct domain *domain = NULL;
	struct lf_error error;
	int rc;

	if (command == NULL)
		rc = error_set(&error, ENOSYS,
		    "there is no command '%.64s'; forkd(8) lists them",
		    request->name);
	else
		rc = control_check_arguments(command->name, command->arguments,
		    request->arguments, request->message.fd_count, &error);
	if (rc == 0 && command->states != 0)
		rc = registry_find(&client->daemon->registry,
		    peer_request_string(request, "domain"), &domain, &error);
	if (rc == 0 && command->states != 0)
		rc = check_state(command, domain, &error);
	if (rc < 0)
		peer_fail(request, &error);
	else
		handlers[command - control_commands](client, domain, request);
}
