/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The process of a QEMU: it boots, or waits for a state. Every wait is bounded,
 * and a QEMU that does not come up is gone with all its descriptors and
 * overlays before the error is returned. Knows of no pool: one is made of this.
 */
#include "domain/qemu_domain.h"

#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/host.h>

#include "base/error.h"
#include "base/log.h"
#include "base/sys.h"
#include "domain/worker.h"
#include "qemu/cpuid_probe.h"
#include "qemu/domain_config_value.h"
#include "qemu/program.h"
#include "snapshot/snapshot.h"

/* From exec to the greeting: generous, for machines under load. */
#define START_TIMEOUT_MS 30000

void
qemu_domain_free(struct qemu_domain *domain)
{
	if (domain == NULL)
		return;
	qmp_free(domain->qmp);
	domain->launcher->end_qemu(domain->launcher, &domain->process);
	qemu_disks_done(&domain->disks, domain->launcher);
	lf_snapshot_unref(domain->stopped_at);
	ram_file_unref(domain->ram);
	lf_domain_config_free(domain->config);
	worker_free(domain->past);
	cpuid_known_unref(domain->cpuid_known);
	free(domain);
}

int
qemu_explain(struct qemu_domain *domain, int rc, struct lf_error *error)
{
	struct pollfd pfd = {.fd = domain->process.pidfd, .events = POLLIN};
	char words[512];

	/* It may be about to die: what it says then is worth a moment. */
	if (rc != -EPIPE || pfd.fd < 0 || sys.poll(&pfd, 1, 1000) <= 0)
		return rc;
	program_last_words(domain->process.log_fd, words, sizeof(words));
	return error_set(error, EIO, "QEMU ended: %s",
	    words[0] != '\0' ? words : "it said nothing");
}

int
qemu_domain_new(struct lf_launcher *launcher, struct qemu_domain **ret_domain,
    struct lf_error *error)
{
	struct qemu_domain *domain;

	if (launcher == NULL)
		return error_set(error, EINVAL,
		    "a domain on QEMU needs a launcher to start it");
	domain = sys.calloc(1, sizeof(*domain));
	if (domain == NULL)
		return error_nomem(error);
	domain->launcher = launcher;
	domain->process = LF_QEMU_PROCESS_NONE;
	domain->cpuid_known = cpuid_known_new();
	if (domain->cpuid_known == NULL) {
		free(domain);
		return error_nomem(error);
	}
	*ret_domain = domain;
	return 0;
}

/* Starts the process; it takes some 30 ms until it answers. */
static int
start_process(struct qemu_domain *domain, bool incoming, struct lf_error *error)
{
	struct lf_qemu_request request = {
	    .config = domain->config,
	    .ram_fd = ram_file_fd(domain->ram),
	    .share_ram = !domain->private_ram,
	    .incoming = incoming,
	    .disks = domain->disks.disks,
	    .nvram =
		domain->disks.nvram.count > 0 ? &domain->disks.nvram : NULL,
	};

	return domain->launcher->start_qemu(
	    domain->launcher, &request, &domain->process, error);
}

/* Waits for its greeting. */
static int
connect_monitor(struct qemu_domain *domain, struct lf_error *error)
{
	int qmp_fd = take_fd(&domain->process.qmp_fd);
	int rc = qmp_new(qmp_fd, START_TIMEOUT_MS, &domain->qmp, error);

	return rc < 0 ? qemu_explain(domain, rc, error) : 0;
}

/*
 * The accelerator is settled before the domain begins: its forks have to have
 * the same one, on whatever host.
 */
static int
choose_accelerator(struct lf_domain_config *config, struct lf_error *error)
{
	struct lf_host host;
	char reason[256];
	int rc;

	if (config->accelerator != LF_ACCELERATOR_AUTO)
		return 0;
	rc = lf_host_probe(&host, error);
	if (rc < 0)
		return error_prefix(error, rc, "accelerator");
	config->accelerator = lf_host_prefers_kvm(&host, reason, sizeof(reason))
				  ? LF_ACCELERATOR_KVM
				  : LF_ACCELERATOR_TCG;
	log_info("domain '%s': accelerator %s: %s", config->name,
	    lf_accelerator_name(config->accelerator), reason);
	return 0;
}

int
qemu_boot(const struct lf_domain_config *config, struct lf_launcher *launcher,
    struct qemu_domain **ret_domain, struct lf_error *error)
{
	cleanup(qemu_domain_free_p) struct qemu_domain *domain = NULL;
	int rc;

	rc = qemu_domain_new(launcher, &domain, error);
	if (rc == 0)
		rc = lf_domain_config_check(config, error);
	if (rc == 0)
		rc = lf_domain_config_copy(config, &domain->config, error);
	if (rc == 0)
		rc = lf_domain_config_complete(domain->config, error);
	if (rc == 0)
		rc = choose_accelerator(domain->config, error);
	if (rc == 0)
		rc = qemu_disks_from_config(
		    &domain->disks, domain->config, error);
	if (rc == 0)
		rc = ram_file_new(
		    "guest memory", config->memory_bytes, &domain->ram, error);
	if (rc == 0)
		rc = start_process(domain, false, error);
	if (rc == 0)
		rc = connect_monitor(domain, error);
	if (rc < 0)
		return rc;
	*ret_domain = take_ptr(domain);
	return 0;
}

/* --- migration, both ends --- */

int
qemu_prepare_migration(struct qemu_domain *domain, struct lf_error *error)
{
	json_t *capabilities = json_pack("{s:[{s:s, s:b}, {s:s, s:b}]}",
	    "capabilities", "capability", "x-ignore-shared", "state", 1,
	    "capability", "events", "state", 1);

	if (capabilities == NULL)
		return error_nomem(error);
	return qmp_execute(
	    domain->qmp, "migrate-set-capabilities", capabilities, NULL, error);
}

bool
qemu_migration_ended(const json_t *data)
{
	const char *status = json_string_value(json_object_get(data, "status"));

	return status != NULL && (strcmp(status, "completed") == 0 ||
				     strcmp(status, "failed") == 0 ||
				     strcmp(status, "cancelled") == 0);
}

int
qemu_query_status(
    struct qemu_domain *domain, char *buf, size_t size, struct lf_error *error)
{
	cleanup(json_decrefp) json_t *answer = NULL;
	const char *status;
	int rc;

	rc = qmp_execute(domain->qmp, "query-status", NULL, &answer, error);
	if (rc < 0)
		return rc;
	status = json_string_value(json_object_get(answer, "status"));
	if (status == NULL || strlen(status) >= size)
		return error_set(
		    error, EBADMSG, "QEMU does not say what state it is in");
	strcpy(buf, status);
	return 0;
}

/* --- from a snapshot --- */

int
qemu_start_config(const struct lf_snapshot *snapshot,
    const struct qemu_start *start, struct lf_domain_config **ret_config,
    struct lf_domain_config **ret_parent, struct lf_error *error)
{
	int rc;

	if (snapshot->configuration == NULL || snapshot->devstate_fd < 0)
		return error_set(error, EINVAL,
		    "the snapshot has no device state: only a domain that was "
		    "booted by QEMU can be forked onto QEMU");
	rc = domain_config_from_value(
	    snapshot->configuration, ret_parent, error);
	if (rc < 0)
		return error_prefix(error, rc, "the snapshot's configuration");
	if (start->config == NULL)
		return lf_domain_config_derive(*ret_parent,
		    start->name != NULL ? start->name : "fork", ret_config,
		    error);
	rc = lf_domain_config_copy(start->config, ret_config, error);
	if (rc == 0)
		rc = lf_domain_config_check_fork(
		    *ret_parent, *ret_config, error);
	return rc < 0
		   ? rc
		   : lf_domain_config_inherit(*ret_config, *ret_parent, error);
}

/* Names the descriptor that the stream comes through and lets QEMU wait. */
static int
begin_incoming(
    struct qemu_domain *domain, int *ret_sock, struct lf_error *error)
{
	cleanup_close int ours = -1, theirs = -1;
	json_t *arguments;
	int sv[2], rc;

	if (sys.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return error_sys(error, errno, "cannot make a socket pair");
	ours = sv[0];
	theirs = sv[1];
	if (sys.fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return error_sys(error, errno, "stream to QEMU");
	rc = qemu_prepare_migration(domain, error);
	if (rc == 0)
		rc = qmp_getfd(domain->qmp, "snapshot", theirs, error);
	if (rc < 0)
		return rc;
	arguments = json_pack("{s:s}", "uri", "fd:snapshot");
	if (arguments == NULL)
		return error_nomem(error);
	rc = qmp_execute(
	    domain->qmp, "migrate-incoming", arguments, NULL, error);
	if (rc < 0)
		return rc;
	*ret_sock = take_fd(&ours);
	return 0;
}

int
qemu_start_ready(
    struct qemu_domain *domain, int *ret_sock, struct lf_error *error)
{
	int rc = connect_monitor(domain, error);

	if (rc < 0)
		return rc;
	rc = begin_incoming(domain, ret_sock, error);
	return rc < 0 ? qemu_explain(domain, rc, error) : 0;
}

/* A snapshot may come from another process: guest memory is file 0, whole. */
static int
check_memory(const struct ram_image *image,
    const struct lf_domain_config *config, struct lf_error *error)
{
	const struct ram_block *block =
	    ram_image_find_block(image, LF_QEMU_RAM_ID);

	if (block == NULL || block->file != 0 || block->offset != 0 ||
	    block->length != config->memory_bytes ||
	    ram_file_size(image->files[0]) != config->memory_bytes)
		return error_set(error, EBADMSG,
		    "the snapshot's guest memory is not what its "
		    "configuration says");
	return 0;
}

int
qemu_domain_wait(struct qemu_domain *domain, const struct lf_snapshot *snapshot,
    const struct ram_image *image, const struct lf_domain_config *parent,
    struct lf_error *error)
{
	int rc;

	rc = qemu_disks_fork(&domain->disks, snapshot->disk_files, parent,
	    domain->config, domain->launcher, error);
	if (rc == 0)
		rc = check_memory(image, domain->config, error);
	if (rc < 0)
		return rc;
	domain->ram = ram_file_ref(image->files[0]);
	domain->private_ram = true;
	return start_process(domain, true, error);
}

int
qemu_start_waiting(struct lf_snapshot *snapshot, struct lf_launcher *launcher,
    const struct lf_domain_config *config, const char *name,
    struct qemu_domain **ret_domain, struct lf_error *error)
{
	cleanup(qemu_domain_free_p) struct qemu_domain *domain = NULL;
	struct qemu_start start = {.launcher = launcher, .config = config};
	struct lf_domain_config *parent = NULL;
	int rc;

	rc = qemu_domain_new(launcher, &domain, error);
	if (rc == 0)
		rc = qemu_start_config(
		    snapshot, &start, &domain->config, &parent, error);
	if (rc == 0)
		rc = lf_domain_config_set(&domain->config->name, name, error);
	if (rc == 0)
		rc = qemu_domain_wait(
		    domain, snapshot, snapshot->image, parent, error);
	lf_domain_config_free(parent);
	if (rc < 0)
		return rc;
	*ret_domain = take_ptr(domain);
	return 0;
}
