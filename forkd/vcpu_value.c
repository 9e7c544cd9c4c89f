/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vCPUs as JSON values.
 */
#include "forkd/vcpu_value.h"

#include <errno.h>
#include <inttypes.h>
#include <libfork/domain_config.h>
#include <stdio.h>

#include "base/error.h"

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
vcpu_value_registers(
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
vcpu_value_access(const struct lf_exit *exit)
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
