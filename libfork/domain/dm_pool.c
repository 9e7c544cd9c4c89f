/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Device models that wait. A member is a QEMU that has done everything that a
 * fork's QEMU does before its state arrives. Which arguments it was started
 * with is told by its configuration, as JSON, before its disks got overlays;
 * the memory file has to be the same, too.
 */
#include "domain/dm_pool.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/error.h"
#include "base/sys.h"
#include "qemu/domain_config_value.h"
#include "snapshot/snapshot.h"

struct member {
	struct member *next;
	struct qemu_domain *qemu;
	int sock; /* where its state goes; -1: not ready yet */
};

struct lf_dm_pool {
	struct lf_snapshot *snapshot; /* a reference */
	struct lf_launcher *launcher;
	struct lf_domain_config *config; /* complete */
	json_t *arguments;               /* what `config` gives */
	unsigned depth, waiting;
	struct member *members;
	unsigned number; /* of the next one's name */
	char miss[160];  /* "": served */
};

/* A configuration without its name, to be compared. */
static int
arguments_of(const struct lf_domain_config *config, json_t **ret_arguments,
    struct lf_error *error)
{
	int rc = domain_config_to_value(config, ret_arguments, error);

	if (rc == 0)
		json_object_del(*ret_arguments, "name");
	return rc;
}

static void
member_free(struct member *member)
{
	close_fd(member->sock);
	qemu_domain_free(member->qemu);
	free(member);
}

/* An overlay that the configuration names is one device model's. */
static int
check_overlays(const struct lf_domain_config *config,
    const struct lf_domain_config *parent, unsigned depth,
    struct lf_error *error)
{
	size_t i;

	for (i = 0; depth > 1 && i < config->disk_count; i++)
		if (strcmp(config->disks[i].path, parent->disks[i].path) != 0)
			return error_set(error, EINVAL,
			    "disks[%zu]: '%.200s' can be the overlay of one "
			    "device model, not of the %u of a pool",
			    i, config->disks[i].path, depth);
	if (depth > 1 && config->firmware.nvram != NULL &&
	    strcmp(config->firmware.nvram, parent->firmware.nvram) != 0)
		return error_set(error, EINVAL,
		    "nvram: '%.200s' can be the overlay of one device model, "
		    "not of the %u of a pool",
		    config->firmware.nvram, depth);
	return 0;
}

int
lf_dm_pool_new(struct lf_snapshot *snapshot, struct lf_launcher *launcher,
    const struct lf_domain_config *config, unsigned depth,
    struct lf_dm_pool **ret_pool, struct lf_error *error)
{
	struct qemu_start start = {
	    .launcher = launcher,
	    .config = config,
	    .name = "pool",
	    .devstate_fd = -1,
	};
	struct lf_domain_config *parent = NULL;
	struct lf_dm_pool *pool;
	int rc;

	if (launcher == NULL || depth == 0 || depth > LF_DM_POOL_MAX)
		return error_set(error, EINVAL,
		    "a pool has 1 to %d device models, not %u, and a launcher",
		    LF_DM_POOL_MAX, depth);
	pool = sys.calloc(1, sizeof(*pool));
	if (pool == NULL)
		return error_nomem(error);
	pool->snapshot = lf_snapshot_ref(snapshot);
	pool->launcher = launcher;
	pool->depth = depth;
	rc = qemu_start_config(snapshot, &start, &pool->config, &parent, error);
	if (rc == 0)
		rc = check_overlays(pool->config, parent, depth, error);
	if (rc == 0)
		rc = arguments_of(pool->config, &pool->arguments, error);
	lf_domain_config_free(parent);
	if (rc < 0) {
		lf_dm_pool_free(pool);
		return rc;
	}
	*ret_pool = pool;
	return 0;
}

void
lf_dm_pool_free(struct lf_dm_pool *pool)
{
	if (pool == NULL)
		return;
	while (pool->members != NULL) {
		struct member *member = pool->members;

		pool->members = member->next;
		member_free(member);
	}
	json_decref(pool->arguments);
	lf_domain_config_free(pool->config);
	lf_snapshot_unref(pool->snapshot);
	free(pool);
}

static bool
is_alive(const struct member *member)
{
	struct pollfd pfd = {
	    .fd = member->qemu->process.pidfd, .events = POLLIN};

	/* A signal makes even this poll fail, and says nothing of QEMU. */
	return sys.poll(&pfd, 1, 0) <= 0;
}

static void
drop_dead(struct lf_dm_pool *pool)
{
	struct member **at = &pool->members;

	while (*at != NULL) {
		struct member *member = *at;

		if (is_alive(member)) {
			at = &member->next;
			continue;
		}
		*at = member->next;
		pool->waiting--;
		member_free(member);
	}
}

static int
add_member(struct lf_dm_pool *pool, struct lf_error *error)
{
	struct member *member = sys.calloc(1, sizeof(*member)), **at;
	char name[32];
	int rc;

	if (member == NULL)
		return error_nomem(error);
	member->sock = -1;
	snprintf(name, sizeof(name), "pool.%u", pool->number++);
	rc = qemu_start_waiting(pool->snapshot, pool->launcher, pool->config,
	    name, &member->qemu, error);
	if (rc < 0) {
		free(member);
		return rc;
	}
	for (at = &pool->members; *at != NULL; at = &(*at)->next)
		;
	*at = member;
	pool->waiting++;
	return 0;
}

/* All start before the first is waited for: they come up side by side. */
int
lf_dm_pool_fill(struct lf_dm_pool *pool, struct lf_error *error)
{
	struct member **at = &pool->members;
	int rc = 0;

	drop_dead(pool);
	while (rc == 0 && pool->waiting < pool->depth)
		rc = add_member(pool, error);
	while (*at != NULL) {
		struct member *member = *at;
		struct lf_error why;
		int ready = member->sock >= 0 ? 0
					      : qemu_start_ready(member->qemu,
						    &member->sock, &why);

		if (ready == 0) {
			at = &member->next;
			continue;
		}
		*at = member->next;
		pool->waiting--;
		member_free(member);
		if (rc == 0 && error != NULL)
			*error = why;
		if (rc == 0)
			rc = ready;
	}
	return rc < 0 ? error_prefix(error, rc, "pool of device models")
		      : (int)pool->waiting;
}

unsigned
lf_dm_pool_waiting(const struct lf_dm_pool *pool)
{
	return pool->waiting;
}

const char *
lf_dm_pool_miss(const struct lf_dm_pool *pool)
{
	return pool->miss[0] != '\0' ? pool->miss : NULL;
}

static bool __attribute__((format(printf, 2, 3)))
missed(struct lf_dm_pool *pool, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(pool->miss, sizeof(pool->miss), format, args);
	va_end(args);
	return false;
}

/* The first part of a configuration that gives other arguments; NULL: none. */
static const char *
find_difference(const json_t *a, const json_t *b)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)a, key, value)
	{
		if (!json_equal(value, json_object_get(b, key)))
			return key;
	}
	json_object_foreach((json_t *)b, key, value)
	{
		if (json_object_get(a, key) == NULL)
			return key;
	}
	return NULL;
}

bool
dm_pool_take(struct lf_dm_pool *pool, const struct ram_image *image,
    const struct lf_domain_config *config, struct qemu_domain **ret_domain,
    int *ret_sock)
{
	cleanup(json_decrefp) json_t *wanted = NULL;
	struct lf_error error;
	const char *other;
	struct member *member;

	if (pool == NULL)
		return false;
	if (arguments_of(config, &wanted, &error) < 0)
		return missed(pool, "%s", error.message);
	other = find_difference(pool->arguments, wanted);
	if (other != NULL)
		return missed(pool,
		    "the device models that wait were started with other "
		    "arguments: '%.40s' differs",
		    other);
	drop_dead(pool);
	member = pool->members;
	if (member == NULL || member->sock < 0)
		return missed(pool, "no device model waits");
	if (member->qemu->ram != image->files[0])
		return missed(pool,
		    "the device models that wait have other memory below: "
		    "the snapshot got a new base since they were started");
	if (lf_domain_config_set(
		&member->qemu->config->name, config->name, &error) < 0)
		return missed(pool, "%s", error.message);
	pool->miss[0] = '\0';
	pool->members = member->next;
	pool->waiting--;
	*ret_domain = member->qemu;
	*ret_sock = member->sock;
	free(member);
	return true;
}
