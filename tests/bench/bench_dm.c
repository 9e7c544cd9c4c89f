/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Full forks, with a device model: one, ten by two threads, and how much
 * memory an idle one has for itself. The floor is a QEMU with the same
 * arguments that only starts: -S instead of -incoming, from exec to its first
 * answer to query-status.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libfork/domain_config.h>

#include "bench/bench.h"
#include "domain/backend.h"
#include "domain/qemu_domain.h"
#include "qemu/qmp.h"
#include "snapshot/snapshot.h"

#define SAMPLES 15
#define FORKS   10
#define MEMORY  (UINT64_C(256) << 20)
/* What an idle fork may have beyond what QEMU itself needs. */
#define EXTRA_KIB   (8 * 1024)
#define BOOT_ROUNDS 6000

static struct lf_error error;

struct work {
	struct lf_snapshot *snapshot;
	struct lf_launcher *launcher;
	struct lf_domain_config *config; /* as derived for a fork */
	unsigned number;                 /* for names */
	unsigned count;                  /* forks of a thread */
	bool floor;
};

static void
set(char **field, const char *before, const char *after)
{
	char text[8192];

	snprintf(text, sizeof(text), "%s%s", before, after);
	bench_must(lf_domain_config_set(field, text, &error), error.message);
}

static struct lf_launcher *
launcher_new(void)
{
	struct lf_launcher_spawn_options options = {
	    .overlay_dir = bench_dir(), .end_with_thread = true};
	struct lf_launcher *launcher = NULL;

	bench_must(
	    lf_launcher_spawn_new(&options, &launcher, &error), error.message);
	return launcher;
}

/* The Linux guest of the tests, running, and frozen in this instant. */
static struct lf_domain *
boot(struct lf_launcher *launcher, struct lf_snapshot **ret_snapshot)
{
	const char *top = bench_top();
	struct lf_domain_config *config = lf_domain_config_new();
	struct lf_network *network = NULL;
	struct lf_domain *domain = NULL;
	char text[65536];
	unsigned i;

	bench_must(config != NULL ? 0 : -1, "no memory");
	bench_guest("linux");
	set(&config->name, "parent", "");
	set(&config->kernel, top, "/tests/guest/vmlinuz");
	set(&config->ramdisk, top, "/tests/guest/initrd.img");
	set(&config->cmdline, "console=ttyS0 quiet xf.run=tick", "");
	set(&config->serial.path, bench_dir(), "/serial");
	config->serial.type = LF_SERIAL_FILE;
	config->memory_bytes = MEMORY;
	config->accelerator = LF_ACCELERATOR_TCG;
	bench_must(lf_domain_config_add_network(config, &network, &error),
	    error.message);
	network->restrict_guest = true;

	bench_must(
	    lf_domain_create(config, launcher, &domain, &error), error.message);
	bench_must(lf_domain_unpause(domain, &error), error.message);
	for (i = 0; i < BOOT_ROUNDS; i++) {
		FILE *file = fopen(config->serial.path, "r");
		size_t n = 0;

		if (file != NULL) {
			n = fread(text, 1, sizeof(text) - 1, file);
			fclose(file);
		}
		text[n] = '\0';
		if (strstr(text, "tick 1") != NULL)
			break;
		usleep(10000);
	}
	bench_must(i < BOOT_ROUNDS ? 0 : -1, "the guest does not boot");
	bench_must(
	    lf_domain_freeze(domain, ret_snapshot, &error), error.message);
	lf_domain_config_free(config);
	return domain;
}

static struct lf_domain *
fork_one(struct work *work)
{
	struct lf_fork_options options;
	struct lf_domain *domain = NULL;
	char name[32];

	snprintf(name, sizeof(name), "f%u", work->number++);
	lf_fork_options_init(&options);
	options.backend = LF_BACKEND_QEMU;
	options.launcher = work->launcher;
	options.name = name;
	bench_must(lf_domain_fork(work->snapshot, &options, &domain, &error),
	    error.message);
	return domain;
}

/* The floor: a QEMU that starts and answers. */
static struct lf_qemu_process
start_one(const struct work *work)
{
	struct lf_qemu_request request = {
	    .config = work->config,
	    .ram_fd = ram_file_fd(work->snapshot->image->files[0]),
	};
	struct lf_qemu_process process = LF_QEMU_PROCESS_NONE;
	struct qmp *qmp = NULL;

	bench_must(work->launcher->start_qemu(
		       work->launcher, &request, &process, &error),
	    error.message);
	bench_must(qmp_new(process.qmp_fd, 30000, &qmp, &error), error.message);
	process.qmp_fd = -1;
	bench_must(qmp_execute(qmp, "query-status", NULL, NULL, &error),
	    error.message);
	qmp_free(qmp);
	return process;
}

static double
time_one(struct work *work, bool floor)
{
	double begin = bench_now_us(), end;

	if (floor) {
		struct lf_qemu_process process = start_one(work);

		end = bench_now_us();
		work->launcher->end_qemu(work->launcher, &process);
	} else {
		struct lf_domain *domain = fork_one(work);

		end = bench_now_us();
		lf_domain_free(domain);
	}
	return (end - begin) / 1000;
}

static void
cold(struct work *work)
{
	struct bench bench = {.name = "dm-fork", .label = "cold", .unit = "ms"};
	unsigned i;

	if (!bench_wanted(bench.name, bench.label))
		return;
	time_one(work, true);
	time_one(work, false);
	for (i = 0; i < SAMPLES; i++) {
		double floor = time_one(work, true);

		bench_add(&bench, time_one(work, false), floor);
	}
	bench_report(&bench, 1.3, false);
}

/* --- ten at once --- */

struct started {
	struct work work;
	struct lf_domain *domains[FORKS];
	struct lf_qemu_process processes[FORKS];
	pthread_t thread;
};

static void *
start_several(void *opaque)
{
	struct started *started = opaque;
	unsigned i;

	for (i = 0; i < started->work.count; i++) {
		if (started->work.floor)
			started->processes[i] = start_one(&started->work);
		else
			started->domains[i] = fork_one(&started->work);
	}
	return NULL;
}

static double
time_ten(struct work *work, bool floor)
{
	struct started started[2] = {{.work = *work}, {.work = *work}};
	double begin, end;
	unsigned t, i;

	for (t = 0; t < 2; t++) {
		started[t].work.floor = floor;
		started[t].work.count = FORKS / 2;
		started[t].work.number = work->number;
		started[t].work.launcher = launcher_new();
		work->number += FORKS / 2;
	}
	begin = bench_now_us();
	/* The second half in this thread: QEMUs end with their threads. */
	bench_must(-pthread_create(
		       &started[0].thread, NULL, start_several, &started[0]),
	    "no thread");
	start_several(&started[1]);
	pthread_join(started[0].thread, NULL);
	end = bench_now_us();
	for (t = 0; t < 2; t++) {
		struct lf_launcher *launcher = started[t].work.launcher;

		for (i = 0; i < FORKS / 2; i++) {
			if (floor)
				launcher->end_qemu(
				    launcher, &started[t].processes[i]);
			else
				lf_domain_free(started[t].domains[i]);
		}
		lf_launcher_spawn_free(launcher);
	}
	return (end - begin) / 1000;
}

static void
ten(struct work *work)
{
	struct bench bench = {.name = "dm-fork", .label = "x10", .unit = "ms"};
	unsigned i;

	if (!bench_wanted(bench.name, bench.label))
		return;
	for (i = 0; i < 5; i++) {
		double floor = time_ten(work, true);

		bench_add(&bench, time_ten(work, false), floor);
	}
	bench_report(&bench, 1.3, false);
}

/* --- memory --- */

static double
private_kib(pid_t pid)
{
	char path[64], line[256];
	double sum = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	file = fopen(path, "r");
	bench_must(file != NULL ? 0 : -1, "smaps_rollup cannot be read");
	while (fgets(line, sizeof(line), file) != NULL) {
		unsigned long kib;

		if (sscanf(line, "Private_Clean: %lu", &kib) == 1 ||
		    sscanf(line, "Private_Dirty: %lu", &kib) == 1)
			sum += (double)kib;
	}
	fclose(file);
	return sum;
}

static void
memory(struct work *work)
{
	struct lf_qemu_process process;
	struct lf_domain *domain;
	double value, floor;

	if (!bench_wanted("dm-memory", "idle fork"))
		return;
	process = start_one(work);
	domain = fork_one(work);
	floor = private_kib(process.pid);
	value = private_kib(
	    ((const struct qemu_domain *)domain->impl)->process.pid);
	bench_report_limit(
	    "dm-memory", "idle fork", "KiB", value, floor, floor + EXTRA_KIB);
	lf_domain_free(domain);
	work->launcher->end_qemu(work->launcher, &process);
}

int
main(void)
{
	struct work work = {0};
	struct lf_domain_config *parent = NULL;
	struct lf_domain *domain;
	char *text;

	if (!bench_wanted("dm-fork", "cold") &&
	    !bench_wanted("dm-fork", "x10") &&
	    !bench_wanted("dm-memory", "idle fork"))
		return 0;
	work.launcher = launcher_new();
	domain = boot(work.launcher, &work.snapshot);
	text = json_dumps(work.snapshot->configuration, JSON_COMPACT);
	bench_must(
	    lf_domain_config_from_json(text, strlen(text), &parent, &error),
	    error.message);
	bench_must(
	    lf_domain_config_derive(parent, "floor", &work.config, &error),
	    error.message);
	free(text);

	cold(&work);
	ten(&work);
	memory(&work);

	lf_domain_config_free(parent);
	lf_domain_config_free(work.config);
	lf_snapshot_unref(work.snapshot);
	lf_domain_free(domain);
	lf_launcher_spawn_free(work.launcher);
	return 0;
}
