/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon: what all of its parts share. One event loop that never blocks; no
 * byte that a guest made is parsed here.
 */
#ifndef FORKD_DAEMON_H
#define FORKD_DAEMON_H

#include <event2/event.h>
#include <stdbool.h>

#include <jansson.h>
#include <libfork/error.h>

#include "forkd/registry.h"
#include "forkd/spawn.h"

struct daemon;
struct peer;
struct host_probe;
struct peer_request;

struct daemon_options {
	const char *run_dir;   /* NULL: control_run_dir() */
	const char *state_dir; /* NULL: control_state_dir() */
	const char *qemu;      /* NULL: LF_QEMU_PROGRAM from PATH */
	const char *qemu_img;  /* NULL: qemu-img from PATH */
	const char *qemu_user; /* for a forkd of root's; NULL: nobody */
	unsigned adopt_within; /* seconds that domains wait; 0: for ever */
	int ready_fd;          /* where to say "ready" or why not; -1 */
	bool auto_exit;        /* end when no domain and no client is left */
	bool debug;
};

/* What accelerator=auto means on this host. */
struct daemon_host {
	bool known;
	bool prefers_kvm;
	char reason[256];
	struct host_probe *probe; /* under way; NULL */
};

/* What is made of what domain processes say, by those above life.c. */
struct daemon_hooks {
	/* A domain needs something; the request is the callee's. */
	void (*needs)(struct daemon *daemon, struct domain *domain,
	    struct peer_request *request);
	/* A domain stopped by itself, or may have. */
	void (*stopped)(struct domain *domain);
};

/* Sessions at once; more are refused. */
#define DAEMON_CLIENTS_MAX 128

struct client {
	struct client *next;
	struct daemon *daemon;
	struct peer *peer;
	bool served; /* counted; false: it only reads why not */
	bool subscribed;
};

struct daemon {
	struct daemon_options options;
	const struct daemon_hooks *hooks;
	struct event_base *base;
	char *run_dir, *state_dir, *overlay_dir;
	int lock_fd;
	struct registry registry;
	struct spawn_user user; /* of QEMU and of domain processes */
	struct daemon_host host;
	struct client *clients;
	unsigned client_count;
	struct event *listener, *on_term, *on_int, *idle;
	int listen_fd;
	bool socket_is_ours; /* not systemd's: removed at the end */
};

/* Writes a line to the log: standard error, the journal under systemd. */
void daemon_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
void daemon_log_error(const struct lf_error *error);

/* Brings the domain's file up to date; that it failed goes to the log. */
void daemon_save(const struct domain *domain);

/* Tells subscribers; `take_extra` (NULL: nothing) is merged into the data. */
void daemon_event(struct daemon *daemon, const char *name,
    const struct domain *domain, json_t *take_extra);

/* A client or a domain has gone: maybe it was the last. */
void daemon_check_idle(struct daemon *daemon);

/* The end of `daemon->idle`. */
void daemon_on_idle(evutil_socket_t fd, short what, void *daemon);

#endif
