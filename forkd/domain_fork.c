/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Forks without device model, which live in the process that owns their
 * snapshot: making one, giving it its device model, and what there is to say
 * of a vCPU that stopped.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <libfork/domain_config.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/domain_process.h"
#include "forkd/fork_options.h"

/* --- making one --- */

static int
fork_frozen(struct job *job, struct hosted *fork, struct lf_error *error)
{
	struct hosted *parent = job->hosted;
	struct lf_fork_options options;
	struct lf_snapshot *snapshot = NULL;
	int rc;

	lf_fork_options_init(&options);
	options.backend = LF_BACKEND_KVM;
	/* For the guest that probes the parent's CPU. */
	options.launcher = &parent->launcher;
	options.name = json_string_value(domain_job_argument(job, "name"));
	rc = fork_options_read(
	    domain_job_argument(job, "options"), &options, error);
	if (rc == 0)
		rc = lf_domain_freeze(parent->domain, &snapshot, error);
	if (rc < 0)
		return rc;
	fork->launch_on_access = options.io_policy == LF_IO_LAUNCH;
	rc = lf_domain_fork(snapshot, &options, &fork->domain, error);
	lf_snapshot_unref(snapshot);
	return rc < 0 ? rc : domain_go_on(job, fork->domain, error);
}

int
domain_fork_here(struct job *job, struct lf_error *error)
{
	json_int_t id = json_integer_value(domain_job_argument(job, "id"));
	struct hosted *fork;
	int rc;

	if (lf_domain_state(job->hosted->domain) != LF_DOMAIN_FROZEN)
		return error_set(
		    error, EBADFD, "the parent is not frozen any more");
	fork = hosted_new(job->hosted->process, (unsigned)id);
	if (fork == NULL)
		return error_nomem(error);
	rc = fork_frozen(job, fork, error);
	if (rc < 0)
		hosted_free(fork);
	else
		job->made = fork;
	return rc;
}

/* --- its device model --- */

int
domain_prepare(struct job *job, struct lf_error *error)
{
	struct hosted *h = job->hosted;
	struct lf_domain_config *config = NULL;
	struct lf_dm_pool *pool = NULL;
	int rc;

	if (h->pool != NULL || lf_domain_backend(h->domain) != LF_BACKEND_KVM)
		return error_set(error, EBADFD,
		    "the fork has a device model, or one that waits");
	rc = domain_job_config(job, &config, error);
	if (rc < 0)
		return rc;
	rc = lf_dm_pool_new(
	    lf_domain_origin(h->domain), &h->launcher, config, 1, &pool, error);
	lf_domain_config_free(config);
	if (rc == 0)
		rc = lf_dm_pool_fill(pool, error);
	if (rc < 0) {
		lf_dm_pool_free(pool);
		return rc;
	}
	h->pool = pool;
	return 0;
}

/* Says whether the device model that waited was used; it is not any more. */
static void
end_pool(struct job *job)
{
	struct hosted *h = job->hosted;
	const char *miss;

	if (h->pool == NULL)
		return;
	miss = lf_dm_pool_miss(h->pool);
	job->result =
	    json_pack("{s:b, s:s*}", "waited", miss == NULL, "miss", miss);
	lf_dm_pool_free(take_ptr(h->pool));
}

int
domain_launch(struct job *job, struct lf_error *error)
{
	cleanup_close int devstate = domain_job_fd(job, "devstate");
	struct lf_domain *domain = job->hosted->domain;
	struct lf_domain_config *config = NULL;
	struct lf_launch_options options = {
	    .launcher = &job->hosted->launcher,
	    .devstate_fd = devstate,
	    .dm_pool = job->hosted->pool,
	};
	int rc;

	rc = domain_job_config(job, &config, error);
	if (rc < 0)
		return rc;
	options.config = config;
	rc = lf_domain_launch(domain, &options, error);
	lf_domain_config_free(config);
	if (rc == 0)
		end_pool(job);
	return rc < 0 ? rc : domain_go_on(job, domain, error);
}

/* --- a vCPU that stopped --- */

/* 64 bits are more than a JSON number carries everywhere: text. */
static json_t *
hex(uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	return json_string(text);
}

static json_t *
registers_value(unsigned vcpu, const struct lf_vcpu_regs *r)
{
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
	    {"rip", r->rip},
	    {"rflags", r->rflags},
	    {"rax", r->rax},
	    {"rbx", r->rbx},
	    {"rcx", r->rcx},
	    {"rdx", r->rdx},
	    {"rsi", r->rsi},
	    {"rdi", r->rdi},
	    {"rsp", r->rsp},
	    {"rbp", r->rbp},
	    {"r8", r->r8},
	    {"r9", r->r9},
	    {"r10", r->r10},
	    {"r11", r->r11},
	    {"r12", r->r12},
	    {"r13", r->r13},
	    {"r14", r->r14},
	    {"r15", r->r15},
	    {"cs", r->cs.selector},
	    {"cs-base", r->cs.base},
	    {"ss", r->ss.selector},
	    {"ds", r->ds.selector},
	    {"es", r->es.selector},
	    {"fs", r->fs.selector},
	    {"fs-base", r->fs.base},
	    {"gs", r->gs.selector},
	    {"gs-base", r->gs.base},
	    {"cr0", r->cr0},
	    {"cr2", r->cr2},
	    {"cr3", r->cr3},
	    {"cr4", r->cr4},
	    {"efer", r->efer},
	};
	json_t *value = json_pack("{s:i}", "vcpu", (int)vcpu);
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		json_object_set_new(value, rows[i].name, hex(rows[i].value));
	return value;
}

int
domain_read_registers(
    struct lf_domain *domain, json_t **ret_registers, struct lf_error *error)
{
	json_t *list = json_array();
	struct lf_vcpu_regs regs;
	unsigned i;
	int rc = 0;

	for (i = 0; i < LF_VCPUS_MAX; i++) {
		rc = lf_vcpu_read_regs(domain, i, &regs, error);
		if (rc < 0)
			break;
		json_array_append_new(list, registers_value(i, &regs));
	}
	/* There is no vCPU of that number: these were all. */
	if (rc == -EINVAL && i > 0)
		rc = 0;
	if (rc < 0)
		json_decref(list);
	else
		*ret_registers = list;
	return rc;
}

json_t *
domain_registers(struct lf_domain *domain)
{
	json_t *list = NULL;
	struct lf_error ignored;

	return domain_read_registers(domain, &list, &ignored) < 0 ? json_array()
								  : list;
}

static json_t *
bytes_value(const void *bytes, size_t len)
{
	const uint8_t *b = bytes;
	char text[2 * 64 + 1] = "";
	size_t i;

	for (i = 0; i < len && i < 64; i++)
		snprintf(text + 2 * i, 3, "%02x", b[i]);
	return json_string(text);
}

/* One access: {kind, address, size, count, direction, data}. */
static json_t *
access_value(const char *kind, uint64_t address, unsigned size, unsigned count,
    bool write, const void *data)
{
	json_t *value = json_pack("{s:s, s:o, s:i, s:i, s:s}", "kind", kind,
	    "address", hex(address), "size", (int)size, "count", (int)count,
	    "direction", write ? "write" : "read");

	if (write && data != NULL)
		json_object_set_new(
		    value, "data", bytes_value(data, (size_t)size * count));
	return value;
}

json_t *
domain_access(const struct lf_exit *exit)
{
	switch (exit->reason) {
	case LF_EXIT_IO:
		return access_value("port", exit->io.port, exit->io.size,
		    exit->io.count, exit->io.write, exit->io.data);
	case LF_EXIT_MMIO:
		return access_value("mmio", exit->mmio.gpa, exit->mmio.size, 1,
		    exit->mmio.write, exit->mmio.data);
	case LF_EXIT_MSR:
		return access_value("msr", exit->msr.index, 8, 1,
		    exit->msr.write, &exit->msr.data);
	default:
		return NULL;
	}
}
