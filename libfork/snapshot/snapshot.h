/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A snapshot's parts. It is filled in by whoever makes it (a backend's freeze,
 * the builder, a receiver) and does not change after the first reference was
 * handed out. Parts may be absent: a snapshot from raw parts has no device
 * stream, one taken from a QEMU has no vCPU states until somebody has read
 * them from the stream.
 */
#ifndef SNAPSHOT_SNAPSHOT_H
#define SNAPSHOT_SNAPSHOT_H

#include <jansson.h>
#include <pthread.h>
#include <libfork/snapshot.h>

#include "memory/image.h"
#include "memory/map.h"

struct cpu_chips;
struct cpu_cpuid;
struct cpu_state;
struct cpuid_known;
struct devfile;

#define SNAPSHOT_VCPUS_MAX 255

struct lf_snapshot {
	unsigned refs; /* atomic */
	/* image; devstate until it is read; vcpus until they are complete */
	pthread_mutex_t lock;
	struct memory_map map;
	struct ram_image *image; /* a reference */

	/* Owned array of vcpu_count pointers, all set or all NULL. */
	unsigned vcpu_count;
	struct cpu_state **vcpus;
	/*
	 * Every group that the host knows is in them: they do not change any
	 * more. A snapshot from raw parts is completed by its first fork.
	 */
	bool complete; /* atomic */

	/* What the guest sees of its CPU; owned, NULL: all that the host has.
	 */
	struct cpu_cpuid *cpuid;
	/* The same of the QEMU that it was taken of; a reference, or NULL. */
	struct cpuid_known *cpuid_known;
	enum lf_irqchip irqchip; /* inside KVM */
	/*
	 * The chips beside the vCPUs and the clock; owned. NULL, or chips that
	 * it does not hold: as after power-on.
	 */
	struct cpu_chips *chips;

	/* The migration stream of the freeze: an owned memfd, -1 without. */
	int devstate_fd;
	uint64_t devstate_length;
	struct devfile *devstate; /* read; NULL: nobody needed it yet */

	/* The configuration as lf_domain_config_to_json() has it, or NULL. */
	json_t *configuration;

	/*
	 * Every file of each disk (domain/qemu_disks.h), which the
	 * configuration does not tell; NULL without a device stream.
	 */
	json_t *disk_files;
};

/* A snapshot without parts, with one reference. */
int snapshot_new(struct lf_snapshot **ret_snapshot, struct lf_error *error);

/*
 * Checks what a finished snapshot keeps: every range lies within its file,
 * and there is at least one vCPU.
 */
int snapshot_check(const struct lf_snapshot *snapshot, struct lf_error *error);

/* A snapshot with the same map, CPU and devices; no image, no vCPUs. */
int snapshot_new_like(const struct lf_snapshot *from,
    struct lf_snapshot **ret_snapshot, struct lf_error *error);

/*
 * The image, as a new reference, for one more fork in this process. An image
 * whose delta would fill half of the process's memory mappings with this fork
 * is flattened first; its content is the same.
 */
int snapshot_image(struct lf_snapshot *snapshot, struct ram_image **ret_image,
    struct lf_error *error);

/*
 * The device stream, read at the first call and kept: the forks of a snapshot
 * need it again and again. -EINVAL when there is none.
 */
int snapshot_devstate(struct lf_snapshot *snapshot,
    const struct devfile **ret_devstate, struct lf_error *error);

/* Adds the next vCPU's state; takes it over when it succeeds. */
int snapshot_add_vcpu(struct lf_snapshot *snapshot, struct cpu_state *state,
    struct lf_error *error);

/*
 * Adds what somebody read from the stream: the states of all vCPUs, and the
 * image that goes with them unless it is NULL. Of several forks that did so at
 * the same time the first one counts: forks share pages, and probes, by the
 * image. What was taken is NULL afterwards.
 */
void snapshot_add_imported(struct lf_snapshot *snapshot,
    struct cpu_state ***states, struct ram_image **image);

#endif
