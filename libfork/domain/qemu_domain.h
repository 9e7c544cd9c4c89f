/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain on QEMU: the process, its monitor, the file that is its memory and
 * the files of its disks. qemu.c has the verbs, qemu_process.c brings a QEMU
 * up, qemu_start.c gives it a snapshot's state, qemu_freeze.c makes a snapshot.
 */
#ifndef DOMAIN_QEMU_DOMAIN_H
#define DOMAIN_QEMU_DOMAIN_H

#include <pthread.h>
#include <stdbool.h>

#include <libfork/domain_config.h>
#include <libfork/launcher.h>

#include "domain/qemu_disks.h"
#include "memory/image.h"
#include "qemu/qmp.h"
#include "qemu/stream_write.h"

struct lf_snapshot;
struct lf_dm_pool;

struct qemu_domain {
	struct lf_launcher *launcher; /* borrowed */
	struct lf_domain_config *config;
	struct qemu_disks disks;
	struct ram_file *ram; /* a reference */
	bool private_ram;     /* a copy-on-write view of the file */
	struct lf_qemu_process process;
	struct cpuid_known *cpuid_known; /* a reference, for its snapshots */
	struct qmp *qmp;
	/*
	 * The snapshot of the instant in which QEMU stands since its stream
	 * was taken: it gives no second one. A reference; NULL once it runs.
	 */
	struct lf_snapshot *stopped_at;
	bool ended;          /* the guest powered off */
	struct worker *past; /* frees what it was before its launch; NULL */
};

/* One that has nothing but its launcher; NULL is refused. */
int qemu_domain_new(struct lf_launcher *launcher,
    struct qemu_domain **ret_domain, struct lf_error *error);
void qemu_domain_free(struct qemu_domain *domain);
DEFINE_CLEANUP(struct qemu_domain *, qemu_domain_free);

/* A QEMU that is about to boot `config`, stopped before it begins. */
int qemu_boot(const struct lf_domain_config *config,
    struct lf_launcher *launcher, struct qemu_domain **ret_domain,
    struct lf_error *error);

/* A fork of a snapshot that ran, and goes on under a QEMU of that snapshot. */
struct qemu_now {
	/* Its stream, and the one whose devices are sent instead; NULL. */
	const struct stream *base, *devices;
	const struct memory_view *view;
	const struct ram_run *runs; /* delta_find() */
	size_t run_count;
	/*
	 * Finds what is sent in place of sections of the stream; called while
	 * QEMU is busy with the memory. The list is the callee's until the
	 * start ends.
	 */
	int (*states)(void *opaque, const struct stream_override **ret,
	    size_t *ret_count, struct lf_error *error);
	/* All is sent, and QEMU takes a while for it. */
	void (*sent)(void *opaque);
	void *opaque;
};

/* What a QEMU is started from a snapshot with. */
struct qemu_start {
	struct lf_launcher *launcher;
	/* NULL: the snapshot's, adjusted for a fork called `name`. */
	const struct lf_domain_config *config;
	const char *name;
	int devstate_fd;            /* -1: the snapshot's stream */
	struct lf_dm_pool *pool;    /* QEMUs that wait; NULL: none */
	const struct qemu_now *now; /* NULL: the snapshot as it is */
};

/*
 * The one way from a snapshot to a QEMU: it maps the image's memory copy on
 * write, is given a stream, and stands still in the snapshot's instant.
 */
int qemu_start(struct lf_snapshot *snapshot, const struct qemu_start *start,
    struct qemu_domain **ret_domain, struct lf_error *error);

/*
 * The same in two steps, for a QEMU that waits for its state: starting it, in
 * the snapshot's memory, with overlays of its own, and making it ready to be
 * given a state through a socket. `config` is complete; `name` takes the place
 * of the name in it.
 */
int qemu_start_waiting(struct lf_snapshot *snapshot,
    struct lf_launcher *launcher, const struct lf_domain_config *config,
    const char *name, struct qemu_domain **ret_domain, struct lf_error *error);
int qemu_start_ready(
    struct qemu_domain *domain, int *ret_sock, struct lf_error *error);

/*
 * Starts a QEMU that waits for its state, for a domain that has its
 * configuration: on the snapshot's disks and the image's memory. The image is
 * the snapshot's, or was when a fork was made that goes on.
 */
int qemu_domain_wait(struct qemu_domain *domain,
    const struct lf_snapshot *snapshot, const struct ram_image *image,
    const struct lf_domain_config *parent, struct lf_error *error);

/*
 * The configuration that a start begins with, and the snapshot's; both the
 * caller's, also after an error, where they are not NULL.
 */
int qemu_start_config(const struct lf_snapshot *snapshot,
    const struct qemu_start *start, struct lf_domain_config **ret_config,
    struct lf_domain_config **ret_parent, struct lf_error *error);

/* Takes the snapshot of a stopped QEMU. */
int qemu_freeze(struct qemu_domain *domain, struct lf_snapshot **ret_snapshot,
    struct lf_error *error);

/*
 * When something failed because QEMU died, its own last words are the better
 * message. Returns the code to return.
 */
int qemu_explain(struct qemu_domain *domain, int rc, struct lf_error *error);

/* Switches on what both ends of a stream need. */
int qemu_prepare_migration(struct qemu_domain *domain, struct lf_error *error);

/* For qmp_wait_event(): a migration came to its end. */
bool qemu_migration_ended(const json_t *data);

/* What QEMU says of itself, see lf_domain_describe(); the caller's. */
int qemu_describe(
    struct qemu_domain *domain, json_t **ret_facts, struct lf_error *error);

/* The run state that QEMU is in, as it calls it. */
int qemu_query_status(
    struct qemu_domain *domain, char *buf, size_t size, struct lf_error *error);

#endif
