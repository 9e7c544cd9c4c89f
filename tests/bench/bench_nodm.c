/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fork without device model by the daemon: from the request on an open
 * connection to its answer. The floor is the same fork by libfork in this
 * process. Any KVM that can be forked onto will do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>
#include <libfork/domain.h>
#include <libfork/domain_config.h>
#include <libfork/launcher.h>

#include "bench/bench.h"
#include "control/client.h"
#include "control/start.h"

#define SAMPLES    200
#define TIMEOUT_MS 60000

static struct lf_error error;

#define MUST(call) bench_must((call), error.message)

static void
set(char **field, const char *before, const char *after)
{
	char text[8192];

	snprintf(text, sizeof(text), "%s%s", before, after);
	MUST(lf_domain_config_set(field, text, &error));
}

static struct lf_domain_config *
make_config(const char *name)
{
	struct lf_domain_config *config = lf_domain_config_new();

	bench_must(config != NULL ? 0 : -1, "no memory");
	set(&config->name, name, "");
	config->firmware.type = LF_FIRMWARE_ROM;
	set(&config->firmware.path, bench_top(), "/tests/guest/bootless.bin");
	config->memory_bytes = UINT64_C(256) << 20;
	config->accelerator = LF_ACCELERATOR_KVM;
	/* Software KVM knows fewer MSRs than it shows to a host's CPU. */
	set(&config->cpu, "max,-arch-capabilities", "");
	return config;
}

/* --- by the daemon --- */

/* A forkd of the benchmark's own; its QEMU may use what this user may. */
static struct control_client *
connect_daemon(void)
{
	char path[64], run[64], state[64];
	struct control_client *client = NULL;
	FILE *file;

	snprintf(path, sizeof(path), "%s/forkd", bench_dir());
	snprintf(run, sizeof(run), "%s/run", bench_dir());
	snprintf(state, sizeof(state), "%s/state", bench_dir());
	file = fopen(path, "w");
	bench_must(file != NULL ? 0 : -1, "cannot write a script");
	fprintf(file, "#!/bin/sh\nexec '%s/forkd/forkd' %s \"$@\"\n",
	    bench_top(), geteuid() == 0 ? "--qemu-user root" : "");
	fclose(file);
	bench_must(chmod(path, 0755), "chmod");
	setenv("FORKD", path, 1);
	setenv("FORKD_RUN_DIR", run, 1);
	setenv("FORKD_STATE_DIR", state, 1);
	MUST(control_start(NULL, true, TIMEOUT_MS, &client, &error));
	return client;
}

static json_t *
call(struct control_client *client, const char *command, json_t *take_arguments)
{
	json_t *result = NULL;

	MUST(control_client_call(client, command, take_arguments, NULL, NULL,
	    TIMEOUT_MS, &result, &error));
	return result;
}

static void
create_parent(struct control_client *client)
{
	struct lf_domain_config *config = make_config("parent");
	char *text = NULL;

	MUST(lf_domain_config_to_json(config, &text, &error));
	json_decref(call(client, "create",
	    json_pack("{s:o}", "config", json_loads(text, 0, NULL))));
	usleep(300000);
	json_decref(
	    call(client, "freeze", json_pack("{s:s}", "domain", "parent")));
	free(text);
	lf_domain_config_free(config);
}

static double
time_daemon(struct control_client *client)
{
	double begin = bench_now_us(), end;
	json_t *result = call(client, "fork-vm",
	    json_pack("{s:s, s:b, s:b}", "domain", "parent", "device-model", 0,
		"paused", 1));
	char id[16];

	end = bench_now_us();
	snprintf(id, sizeof(id), "%d",
	    (int)json_integer_value(json_object_get(
		json_array_get(json_object_get(result, "forks"), 0), "id")));
	json_decref(result);
	json_decref(call(client, "destroy", json_pack("{s:s}", "domain", id)));
	return end - begin;
}

/* --- in this process --- */

static double
time_here(struct lf_snapshot *snapshot, struct lf_launcher *launcher)
{
	struct lf_fork_options options;
	struct lf_domain *domain = NULL;
	double begin, end;

	lf_fork_options_init(&options);
	options.launcher = launcher;
	options.name = "fork";
	begin = bench_now_us();
	MUST(lf_domain_fork(snapshot, &options, &domain, &error));
	end = bench_now_us();
	lf_domain_free(domain);
	return end - begin;
}

int
main(void)
{
	struct bench bench = {
	    .name = "nodm-fork", .label = "daemon", .unit = "us"};
	struct lf_domain_config *config;
	struct lf_launcher *launcher = NULL;
	struct lf_snapshot *snapshot = NULL;
	struct lf_domain *parent = NULL;
	struct control_client *client;
	unsigned i;

	if (!bench_wanted(bench.name, bench.label))
		return 0;
	if (!bench_has_kvm(bench.name))
		return 0;
	bench_guest("bootless");
	client = connect_daemon();
	create_parent(client);
	config = make_config("here");
	MUST(lf_launcher_spawn_new(
	    &(struct lf_launcher_spawn_options){.end_with_thread = true},
	    &launcher, &error));
	MUST(lf_domain_create(config, launcher, &parent, &error));
	MUST(lf_domain_unpause(parent, &error));
	usleep(300000);
	MUST(lf_domain_freeze(parent, &snapshot, &error));

	/* The first of each learns what CPU the guest has. */
	time_daemon(client);
	time_here(snapshot, launcher);
	for (i = 0; i < SAMPLES; i++) {
		double floor = time_here(snapshot, launcher);

		bench_add(&bench, time_daemon(client), floor);
	}
	bench_report(&bench, 1.5, false);

	json_decref(
	    call(client, "destroy", json_pack("{s:s}", "domain", "parent")));
	control_client_free(client);
	lf_snapshot_unref(snapshot);
	lf_domain_free(parent);
	lf_launcher_spawn_free(launcher);
	lf_domain_config_free(config);
	return 0;
}
