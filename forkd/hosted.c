/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The domains of a domain process.
 */
#include "forkd/hosted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/domain_process.h"
#include "forkd/lease.h"
#include "forkd/role.h"
#include "forkd/vcpu_value.h"

/* What libfork's states are to forkd. */
static const enum control_state states[] = {
    [LF_DOMAIN_PAUSED] = CONTROL_PAUSED,
    [LF_DOMAIN_RUNNING] = CONTROL_RUNNING,
    [LF_DOMAIN_FROZEN] = CONTROL_FROZEN,
    [LF_DOMAIN_CRASHED] = CONTROL_CRASHED,
    [LF_DOMAIN_ENDED] = CONTROL_CRASHED,
};

struct hosted *
hosted_new(struct domain_process *p, unsigned id)
{
	struct hosted *h = sys.calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->process = p;
	h->id = id;
	domain_launcher_init(&h->launcher, p, id);
	return h;
}

void
hosted_free(struct hosted *h)
{
	if (h == NULL)
		return;
	if (h->changed != NULL)
		event_free(h->changed);
	lf_dm_pool_free(h->pool);
	lf_domain_free(h->domain);
	json_decref(h->facts);
	free(h);
}

struct hosted *
hosted_find(const struct domain_process *p, unsigned id)
{
	struct hosted *h;

	for (h = p->first; h != NULL; h = h->next)
		if (h->id == id && !h->doomed)
			return h;
	return NULL;
}

void
hosted_append(struct domain_process *p, struct hosted *take_h)
{
	struct hosted **at = &p->first;

	while (*at != NULL)
		at = &(*at)->next;
	*at = take_h;
}

void
hosted_remove(struct domain_process *p, struct hosted *h)
{
	struct hosted **at = &p->first;

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	hosted_free(h);
}

/* --- telling forkd --- */

static void
send_event(const struct hosted *h, const char *name, json_t *take_data)
{
	struct domain_process *p = h->process;
	json_t *event;

	if (p->peer == NULL || take_data == NULL) {
		json_decref(take_data);
		return;
	}
	json_object_set_new(take_data, "domain", json_integer(h->id));
	event = control_make_event(name, take_data);
	peer_send(p->peer, event);
	json_decref(event);
}

static json_t *
state_value(const struct hosted *h)
{
	return json_pack("{s:s, s:o}", "state",
	    control_state_name(states[h->state]), "reason",
	    control_make_text(h->reason));
}

/* Of the moment in which a domain stopped by itself. */
static const char *const stop_facts[] = {
    "access", "registers", "wants-device-model"};

/* What is worth knowing of a domain that stopped by itself just now. */
static void
note_stop(struct hosted *h, const struct lf_exit *exit)
{
	json_t *access = vcpu_value_access(exit), *registers = NULL;

	if (h->facts == NULL)
		h->facts = json_object();
	if (access != NULL)
		json_object_set_new(h->facts, "access", access);
	if (access != NULL && h->launch_on_access &&
	    lf_domain_state(h->domain) == LF_DOMAIN_PAUSED)
		json_object_set_new(
		    h->facts, "wants-device-model", json_true());
	if (lf_domain_state(h->domain) == LF_DOMAIN_CRASHED &&
	    vcpu_value_registers(h->domain, &registers, NULL) == 0)
		json_object_set_new(h->facts, "registers", registers);
}

static void
forget_stop(struct hosted *h)
{
	size_t i;

	for (i = 0; i < sizeof(stop_facts) / sizeof(stop_facts[0]); i++)
		json_object_del(h->facts, stop_facts[i]);
}

static void
tell_state(const struct hosted *h)
{
	json_t *data = state_value(h);
	size_t i;

	for (i = 0; i < sizeof(stop_facts) / sizeof(stop_facts[0]); i++) {
		json_t *fact = json_object_get(h->facts, stop_facts[i]);

		if (fact != NULL)
			json_object_set(data, stop_facts[i], fact);
	}
	send_event(h, ROLE_EVENT_STATE, data);
}

static void
tell_run(const struct hosted *h)
{
	send_event(h, ROLE_EVENT_STATE,
	    json_pack("{s:s, s:s}", "state",
		control_state_name(CONTROL_RUNNING), "reason", ""));
}

void
hosted_look_at(struct hosted *h)
{
	enum lf_domain_state state;
	struct lf_error error;
	struct lf_exit exit;
	const char *reason;
	bool same;
	int rc;

	if (h->domain == NULL)
		return;
	h->device_model = lf_domain_backend(h->domain) == LF_BACKEND_QEMU;
	rc = lf_domain_dispatch(h->domain, &exit, &error);
	if (rc < 0)
		fprintf(stderr, "%s\n", error.message);
	state = lf_domain_state(h->domain);
	reason = lf_domain_reason(h->domain);
	same = state == h->state && strcmp(reason, h->reason) == 0;
	if (same && rc <= 0)
		return;
	/* It ran in between, as whoever let it run is to know. */
	if (same)
		tell_run(h);
	forget_stop(h);
	if (rc > 0)
		note_stop(h, &exit);
	h->state = state;
	snprintf(h->reason, sizeof(h->reason), "%s", reason);
	if (state == LF_DOMAIN_ENDED && !h->ended) {
		h->ended = true;
		send_event(h, ROLE_EVENT_ENDED, json_object());
	} else if (state != LF_DOMAIN_ENDED)
		tell_state(h);
}

void
hosted_describe(const struct hosted *h, struct peer_request *request)
{
	json_t *result = state_value(h);

	json_object_set_new(result, "ended", json_boolean(h->ended));
	json_object_set_new(
	    result, "backend", json_string(h->device_model ? "qemu" : "kvm"));
	json_object_set_new(
	    result, "leases", lease_processes(h->process, h->id));
	if (result != NULL && h->facts != NULL)
		json_object_update(result, h->facts);
	peer_return(request, result, NULL, 0);
}

/* --- looking after one --- */

/*
 * Only a command brings it further. The monitor of a QEMU that died would be
 * readable for ever.
 */
static bool
is_over(const struct hosted *h)
{
	return h->ended || h->state == LF_DOMAIN_CRASHED;
}

static void
on_changed(evutil_socket_t fd, short what, void *arg)
{
	struct hosted *h = arg;

	(void)fd;
	(void)what;
	hosted_look_at(h);
	if (is_over(h))
		hosted_unwatch(h);
}

void
hosted_unwatch(struct hosted *h)
{
	if (h->changed != NULL)
		event_free(h->changed);
	h->changed = NULL;
}

void
hosted_watch(struct hosted *h)
{
	int fd = h->domain != NULL ? lf_domain_event_fd(h->domain) : -1;

	if (h->jobs > 0 || is_over(h) || h->changed != NULL || fd < 0)
		return;
	h->changed = event_new(
	    h->process->base, fd, EV_READ | EV_PERSIST, on_changed, h);
	if (h->changed != NULL)
		event_add(h->changed, NULL);
}
