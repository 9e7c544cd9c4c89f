/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain as forkd knows it.
 */
#ifndef FORKD_DOMAIN_H
#define FORKD_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include <libfork/domain_config.h>

#include "control/messages.h"
#include "forkd/file_list.h"
#include "forkd/spawn.h"

struct event;
struct peer;
struct registry;

/* Limits on what one forkd takes care of. */
#define REGISTRY_DOMAINS_MAX 4096

/* The reason of a domain that is not there yet. */
#define REGISTRY_STARTING "starting"

struct domain {
	struct domain *next; /* by id */
	struct registry *registry;
	void *owner; /* the daemon; for callbacks */
	unsigned id;
	unsigned parent;                 /* 0: booted */
	struct lf_domain_config *config; /* config->name is its name */
	enum control_state state;
	char reason[256]; /* why it is paused or crashed; "" */
	/*
	 * False until it was booted or forked once. Such a domain is not
	 * adopted but removed, unless the process that hosts it has it.
	 */
	bool established;
	json_t *untold; /* not established: what it stopped by already; NULL */
	bool ended;  /* its guest is off: goes as soon as it is established */
	bool marked; /* a walk over the registry uses it, for itself */
	bool doomed; /* being destroyed: takes no more commands */
	const char *end_why;            /* doomed: what the event says */
	void (*end_done)(void *opaque); /* doomed: whom to tell; NULL */
	void *end_opaque;
	/*
	 * 0: it has a domain process of its own. Else the domain in whose
	 * process it lives: of that one's snapshot, or of a fork's that lives
	 * there, it is a fork without device model, or was until its launch.
	 */
	unsigned host;
	bool device_model;      /* false: it runs without one */
	struct process process; /* the domain process */
	struct process qemu;
	struct process probe; /* a QEMU that tells what CPU a guest has */
	struct event *process_ended, *qemu_ended, *probe_ended;
	struct peer *link; /* to its own domain process; see registry_link() */
	bool ending;       /* doomed: its host was told and has not answered */
	bool launching;    /* its device model is being launched */
	bool wants_device_model; /* it stopped at an access that wants one */
	/* What it is launched with, and is from then on; NULL: as on record. */
	struct lf_domain_config *launch_config;
	/* What its device model that waits was started with; NULL: none does.
	 */
	struct lf_domain_config *waiting_config;
	char launch_note[200];     /* where its device model came from; "" */
	struct file_list overlays; /* images that go with it */
	struct file_list named;    /* overlays of ours that stay: the user's */
	struct file_list backing;  /* images under those of its configuration */
	int64_t created;           /* seconds since the epoch */
	char accelerator_reason[300];
	char dir[128]; /* its part of the run directory */
};

#endif
