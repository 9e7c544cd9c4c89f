/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Race test of stopping vCPUs: each runs in a thread of its own and counts;
 * as soon as all have counted, all are stopped, reset and run again. A lost
 * stop hangs a round, which the alarm ends. Plain main, because
 * ThreadSanitizer does not start with Criterion; speaks TAP.
 */
#include <config.h>

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/microvm.h"

#define VCPUS_MAX     4
#define ROUND_SECONDS 60

/* Rounds; ThreadSanitizer needs fewer to see what it looks for. */
#ifdef __SANITIZE_THREAD__
#define CHECK 50
#define SOAK  2000
#else
#define CHECK 500
#define SOAK  10000
#endif

/* inc qword [rsi]; jmp */
static const uint8_t count_code[] = {0x48, 0xff, 0x06, 0xeb, 0xfb};

struct worker {
	pthread_t thread;
	struct vcpu *vcpu;
	struct race *race;
	bool interrupted;
};

struct race {
	struct microvm micro;
	unsigned vcpus;
	pthread_barrier_t begin, end;
	bool over;
	struct worker worker[VCPUS_MAX];
};

static uint64_t *
counter(struct race *race, unsigned index)
{
	return (uint64_t *)(race->micro.ram + MICRO_FREE + 4096 * index);
}

static void *
work(void *opaque)
{
	struct worker *worker = opaque;
	struct lf_exit exit;
	struct lf_error error;

	for (;;) {
		pthread_barrier_wait(&worker->race->begin);
		if (worker->race->over)
			return NULL;
		worker->interrupted =
		    vcpu_run(worker->vcpu, &exit, &error) == VCPU_EXIT &&
		    exit.reason == LF_EXIT_INTERRUPTED;
		pthread_barrier_wait(&worker->race->end);
	}
}

static bool
play_round(struct race *race, struct cpu_state **states)
{
	struct lf_error error;
	unsigned i;

	for (i = 0; i < race->vcpus; i++) {
		__atomic_store_n(counter(race, i), 0, __ATOMIC_SEQ_CST);
		if (vcpu_state_set(race->worker[i].vcpu, CPU_GROUP_ALL,
			states[i], vcpu_state_host_tsc(), &error) < 0) {
			printf("# %s\n", error.message);
			return false;
		}
	}
	alarm(ROUND_SECONDS);
	pthread_barrier_wait(&race->begin);
	for (i = 0; i < race->vcpus; i++)
		while (__atomic_load_n(counter(race, i), __ATOMIC_SEQ_CST) == 0)
			sched_yield();
	for (i = 0; i < race->vcpus; i++)
		vcpu_stop(race->worker[i].vcpu);
	pthread_barrier_wait(&race->end);
	for (i = 0; i < race->vcpus; i++)
		if (!race->worker[i].interrupted)
			return false;
	return true;
}

static bool
play(unsigned vcpus, unsigned rounds)
{
	const struct vm_recipe recipe = {.vcpus = vcpus};
	struct cpu_state *states[VCPUS_MAX];
	struct race race = {.vcpus = vcpus};
	struct lf_error error;
	bool good = true;
	unsigned i;

	microvm_init(&race.micro, &recipe);
	microvm_code(&race.micro, count_code, sizeof(count_code));
	pthread_barrier_init(&race.begin, NULL, vcpus + 1);
	pthread_barrier_init(&race.end, NULL, vcpus + 1);
	for (i = 0; i < vcpus; i++) {
		struct worker *worker = &race.worker[i];

		microvm_start(&race.micro, i, 3, MICRO_FREE + 4096 * i);
		worker->vcpu = vm_vcpu(race.micro.vm, i);
		worker->race = &race;
		states[i] = vcpu_state_new(microvm_device());
		if (vcpu_state_get(
			worker->vcpu, CPU_GROUP_ALL, states[i], &error) < 0 ||
		    pthread_create(&worker->thread, NULL, work, worker) != 0)
			abort();
	}
	for (i = 0; good && i < rounds; i++)
		good = play_round(&race, states);
	if (!good)
		printf("# %u vCPUs, round %u of %u\n", vcpus, i, rounds);
	race.over = true;
	pthread_barrier_wait(&race.begin);
	for (i = 0; i < vcpus; i++) {
		pthread_join(race.worker[i].thread, NULL);
		cpu_state_free(states[i]);
	}
	microvm_done(&race.micro);
	return good;
}

int
main(void)
{
	static const unsigned counts[] = {2, 4};
	unsigned rounds = getenv("LF_SOAK") != NULL ? SOAK : CHECK;
	unsigned i;
	bool good = true;

	/* The wrapper of Criterion programs gives flags, which mean nothing
	 * here. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (microvm_why_not()[0] != '\0') {
		printf("1..0 # SKIP %s\n", microvm_why_not());
		return 0;
	}
	printf("1..2\n");
	for (i = 0; i < 2; i++) {
		bool passed = play(counts[i], rounds);

		printf("%s %u - %u vCPUs stop, reset and run again, %u times\n",
		    passed ? "ok" : "not ok", i + 1, counts[i], rounds);
		good = good && passed;
	}
	return good ? 0 : 1;
}
