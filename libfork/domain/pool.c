/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pool of VM shells. Making a shell happens outside of the lock, so that
 * forks never wait for it there; but the kernel makes two threads that work on
 * VMs and mappings of one process wait for each other all the same. So the
 * pool's thread begins when a kind is half empty, or a moment after the last
 * fork, and a burst of forks runs undisturbed.
 */
#include "domain/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/sys.h"
#include "cpu/cpuid.h"

#define KINDS_MAX  8
#define DEPTH_MAX  4096
#define STACK_SIZE (128UL << 10)

/* No fork for so long: time to fill up. */
#define QUIET_MS 5

struct kind {
	struct vm_recipe recipe; /* its cpuid is our copy */
	struct vm **shells;      /* room for `depth` */
	unsigned count;
	bool broken; /* making one failed: no more are tried for now */
};

struct lf_pool {
	unsigned depth;
	const struct kvm_device *device;
	pthread_t thread;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t wanted, full;
	struct kind kinds[KINDS_MAX];
	unsigned kind_count;
	uint64_t takes; /* counted, to see whether forks go on */
	bool filling;   /* work is to be done until every kind is full */
	bool asleep;    /* the thread waits until it is woken */
	bool quit;
};

/* A kind that is to be filled; NULL when there is none. */
static struct kind *
find_work(struct lf_pool *pool)
{
	unsigned i;

	for (i = 0; i < pool->kind_count; i++)
		if (pool->kinds[i].count < pool->depth &&
		    !pool->kinds[i].broken)
			return &pool->kinds[i];
	return NULL;
}

/* True when some kind is half empty. */
static bool
is_low(const struct lf_pool *pool)
{
	unsigned i;

	for (i = 0; i < pool->kind_count; i++)
		if (pool->kinds[i].count <= pool->depth / 2 &&
		    !pool->kinds[i].broken)
			return true;
	return false;
}

/* Waits until no fork has taken a shell for a moment, or one kind is low. */
static void
wait_for_quiet(struct lf_pool *pool)
{
	while (!pool->quit && !pool->filling && !is_low(pool)) {
		uint64_t takes = pool->takes;
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += QUIET_MS * 1000000L;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000L;
		}
		pthread_cond_timedwait(&pool->wanted, &pool->lock, &until);
		if (takes == pool->takes)
			break;
	}
	pool->filling = true;
}

static void
make_one(struct lf_pool *pool, struct kind *kind)
{
	const struct kvm_device *device = pool->device;
	struct lf_error error;
	struct vm *vm;
	int rc;

	/* Kinds are never removed and their recipes never change. */
	pthread_mutex_unlock(&pool->lock);
	rc = vm_new(device, &kind->recipe, &vm, &error);
	if (rc < 0)
		log_warning("pool of VM shells: %s", error.message);
	pthread_mutex_lock(&pool->lock);
	if (rc < 0)
		kind->broken = true;
	else
		kind->shells[kind->count++] = vm;
}

static void *
pool_main(void *opaque)
{
	struct lf_pool *pool = opaque;

	pthread_mutex_lock(&pool->lock);
	while (!pool->quit) {
		struct kind *kind = find_work(pool);

		if (kind == NULL) {
			pool->filling = false;
			pthread_cond_broadcast(&pool->full);
			pool->asleep = true;
			pthread_cond_wait(&pool->wanted, &pool->lock);
			pool->asleep = false;
		} else if (!pool->filling) {
			wait_for_quiet(pool);
		} else {
			make_one(pool, kind);
		}
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Nobody who sets the host's clock is to make the thread wait for hours. */
static void
init_wanted(pthread_cond_t *wanted)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(wanted, &attr);
	pthread_condattr_destroy(&attr);
}

int
lf_pool_new(unsigned depth, struct lf_pool **ret_pool, struct lf_error *error)
{
	struct lf_pool *pool;
	pthread_attr_t attr;
	int r;

	if (depth == 0 || depth > DEPTH_MAX)
		return error_set(error, EINVAL,
		    "a pool of %u VM shells; 1 to %d are possible", depth,
		    DEPTH_MAX);
	pool = sys.calloc(1, sizeof(*pool));
	if (pool == NULL)
		return error_nomem(error);
	pool->depth = depth;
	pthread_mutex_init(&pool->lock, NULL);
	init_wanted(&pool->wanted);
	pthread_cond_init(&pool->full, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	r = sys.pthread_create(&pool->thread, &attr, pool_main, pool);
	pthread_attr_destroy(&attr);
	if (r != 0) {
		free(pool);
		return error_sys(error, r, "cannot start the pool's thread");
	}
	*ret_pool = pool;
	return 0;
}

void
lf_pool_free(struct lf_pool *pool)
{
	unsigned i;

	if (pool == NULL)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->quit = true;
	pthread_cond_broadcast(&pool->wanted);
	pthread_mutex_unlock(&pool->lock);
	pthread_join(pool->thread, NULL);
	for (i = 0; i < pool->kind_count; i++) {
		struct kind *kind = &pool->kinds[i];

		while (kind->count > 0)
			vm_free(kind->shells[--kind->count]);
		free(kind->shells);
		free((void *)kind->recipe.cpuid);
	}
	pthread_cond_destroy(&pool->wanted);
	pthread_cond_destroy(&pool->full);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void
lf_pool_wait(struct lf_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	while (find_work(pool) != NULL) {
		pool->filling = true;
		pthread_cond_signal(&pool->wanted);
		pthread_cond_wait(&pool->full, &pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
}

static struct kind *
find_kind(struct lf_pool *pool, const struct vm_recipe *recipe)
{
	unsigned i;

	for (i = 0; i < pool->kind_count; i++)
		if (vm_recipe_equal(&pool->kinds[i].recipe, recipe))
			return &pool->kinds[i];
	return NULL;
}

/*
 * Remembers a kind that was asked for. Where there is no room or no memory,
 * the pool just does not serve it.
 */
static void
add_kind(struct lf_pool *pool, const struct vm_recipe *recipe)
{
	struct kind *kind = &pool->kinds[pool->kind_count];
	struct cpu_cpuid *cpuid = NULL;

	if (pool->kind_count == KINDS_MAX || recipe->apic_ids != NULL)
		return;
	kind->shells = sys.calloc(pool->depth, sizeof(struct vm *));
	if (recipe->cpuid != NULL)
		cpuid = sys.malloc(sizeof(*cpuid));
	if (kind->shells == NULL || (recipe->cpuid != NULL && cpuid == NULL)) {
		free(kind->shells);
		free(cpuid);
		return;
	}
	if (cpuid != NULL)
		*cpuid = *recipe->cpuid;
	kind->recipe = *recipe;
	kind->recipe.cpuid = cpuid;
	kind->count = 0;
	kind->broken = false;
	pool->kind_count++;
}

/* A shell could be made: what kept the pool from it is over. */
static void
try_again(struct lf_pool *pool, const struct vm_recipe *recipe)
{
	struct kind *kind;

	pthread_mutex_lock(&pool->lock);
	kind = find_kind(pool, recipe);
	if (kind != NULL && kind->broken) {
		kind->broken = false;
		pthread_cond_signal(&pool->wanted);
	}
	pthread_mutex_unlock(&pool->lock);
}

int
pool_take(struct lf_pool *pool, const struct kvm_device *device,
    const struct vm_recipe *recipe, struct vm **ret_vm, struct lf_error *error)
{
	struct vm *vm = NULL;
	struct kind *kind;
	int rc;

	if (pool == NULL)
		return vm_new(device, recipe, ret_vm, error);
	pthread_mutex_lock(&pool->lock);
	pool->device = device;
	pool->takes++;
	kind = find_kind(pool, recipe);
	if (kind == NULL)
		add_kind(pool, recipe);
	else if (kind->count > 0)
		vm = kind->shells[--kind->count];
	/* In a burst the thread looks by itself after a moment. */
	if (pool->asleep || vm == NULL || is_low(pool))
		pthread_cond_signal(&pool->wanted);
	pthread_mutex_unlock(&pool->lock);
	if (vm == NULL) {
		rc = vm_new(device, recipe, ret_vm, error);
		if (rc == 0)
			try_again(pool, recipe);
		return rc;
	}
	*ret_vm = vm;
	return 0;
}
