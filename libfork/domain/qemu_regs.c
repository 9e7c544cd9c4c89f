/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registers of a vCPU as QEMU's human monitor shows them: there is no other
 * way to ask. "RAX=0123..." in 64-bit mode, "EAX=0123..." in others; a segment
 * is "CS =SELECTOR BASE LIMIT FLAGS", FLAGS the descriptor's second word
 * (QEMU: target/i386/cpu-dump.c).
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "domain/qemu_domain.h"
#include "domain/qemu_regs.h"

/* What follows "NAME=" or "NAME =" at the beginning of a word; NULL. */
static const char *
find_value(const char *text, const char *name)
{
	size_t len = strlen(name);
	const char *at = text;

	while ((at = strstr(at, name)) != NULL) {
		const char *value = at + len;
		bool begins = at == text || at[-1] == ' ' || at[-1] == '\n' ||
			      at[-1] == '\r';

		while (*value == ' ')
			value++;
		if (begins && *value == '=')
			return value + 1;
		at += len;
	}
	return NULL;
}

static int
read_value(const char *text, const char *name, uint64_t *ret_value,
    struct lf_error *error)
{
	const char *value = find_value(text, name);
	char *end = NULL;

	if (value != NULL)
		*ret_value = strtoull(value, &end, 16);
	if (value == NULL || end == value)
		return error_set(
		    error, EBADMSG, "QEMU's registers: no value of '%s'", name);
	return 0;
}

/* A general register: its name is one letter longer in 64-bit mode. */
static int
read_general(const char *text, const char *name, uint64_t *ret_value,
    struct lf_error *error)
{
	char wide[8] = "R", narrow[8] = "E";

	strncat(wide, name, 5);
	strncat(narrow, name, 5);
	return read_value(text, find_value(text, wide) != NULL ? wide : narrow,
	    ret_value, error);
}

static int
read_segment(const char *text, const char *name, struct lf_segment *ret,
    struct lf_error *error)
{
	const char *value = find_value(text, name);
	unsigned long long numbers[4];
	size_t i;

	for (i = 0; i < 4; i++) {
		char *end = NULL;

		if (value != NULL)
			numbers[i] = strtoull(value, &end, 16);
		if (value == NULL || end == value)
			return error_set(error, EBADMSG,
			    "QEMU's registers: segment '%s' is cut short",
			    name);
		value = end;
	}
	*ret = (struct lf_segment){
	    .selector = (uint16_t)numbers[0],
	    .base = numbers[1],
	    .limit = (uint32_t)numbers[2],
	    /* Without the limit's bits 16 to 19, which are among these. */
	    .access = (uint16_t)(numbers[3] >> 8 & 0xf0ff),
	};
	return 0;
}

/* "GDT=     BASE LIMIT". */
static int
read_table(const char *text, const char *name, struct lf_table_register *ret,
    struct lf_error *error)
{
	const char *value = find_value(text, name);
	char *end = NULL, *last = NULL;
	uint64_t base = 0, limit = 0;

	if (value != NULL)
		base = strtoull(value, &end, 16);
	if (value != NULL && end != value)
		limit = strtoull(end, &last, 16);
	if (end == value || last == end)
		return error_set(error, EBADMSG,
		    "QEMU's registers: table '%s' is cut short", name);
	*ret = (struct lf_table_register){base, (uint16_t)limit};
	return 0;
}

int
qemu_regs_parse(
    const char *text, struct lf_vcpu_regs *ret_regs, struct lf_error *error)
{
	struct lf_vcpu_regs r = {0};
	const struct {
		const char *name;
		uint64_t *value;
	} general[] = {{"AX", &r.rax}, {"BX", &r.rbx}, {"CX", &r.rcx},
	    {"DX", &r.rdx}, {"SI", &r.rsi}, {"DI", &r.rdi}, {"BP", &r.rbp},
	    {"SP", &r.rsp}, {"IP", &r.rip}},
	  numbered[] = {{"R8", &r.r8}, {"R9", &r.r9}, {"R10", &r.r10},
	      {"R11", &r.r11}, {"R12", &r.r12}, {"R13", &r.r13},
	      {"R14", &r.r14}, {"R15", &r.r15}, {"EFER", &r.efer}},
	  control[] = {{"CR0", &r.cr0}, {"CR2", &r.cr2}, {"CR3", &r.cr3},
	      {"CR4", &r.cr4}};
	const struct {
		const char *name;
		struct lf_segment *segment;
	} segments[] = {{"ES", &r.es}, {"CS", &r.cs}, {"SS", &r.ss},
	    {"DS", &r.ds}, {"FS", &r.fs}, {"GS", &r.gs}, {"LDT", &r.ldt},
	    {"TR", &r.tr}};
	size_t i;
	int rc = 0;

	for (i = 0; rc == 0 && i < sizeof(general) / sizeof(general[0]); i++)
		rc = read_general(
		    text, general[i].name, general[i].value, error);
	if (rc == 0)
		rc = read_general(text, "FL", &r.rflags, error);
	for (i = 0; rc == 0 && i < sizeof(control) / sizeof(control[0]); i++)
		rc = read_value(text, control[i].name, control[i].value, error);
	for (i = 0; rc == 0 && i < sizeof(segments) / sizeof(segments[0]); i++)
		rc = read_segment(
		    text, segments[i].name, segments[i].segment, error);
	if (rc == 0)
		rc = read_table(text, "GDT", &r.gdt, error);
	if (rc == 0)
		rc = read_table(text, "IDT", &r.idt, error);
	/* These are not shown outside of 64-bit mode. */
	for (i = 0; rc == 0 && i < sizeof(numbered) / sizeof(numbered[0]); i++)
		if (find_value(text, numbered[i].name) != NULL)
			rc = read_value(
			    text, numbered[i].name, numbered[i].value, error);
	if (rc == 0)
		*ret_regs = r;
	return rc;
}

int
qemu_read_regs(struct qemu_domain *domain, unsigned vcpu,
    struct lf_vcpu_regs *ret_regs, struct lf_error *error)
{
	json_t *arguments, *answer = NULL;
	int rc;

	if (vcpu >= domain->config->vcpus)
		return error_set(error, EINVAL,
		    "there is no vCPU %u, the domain has %u", vcpu,
		    domain->config->vcpus);
	if (domain->qmp == NULL)
		return error_set(error, ENOTSUP, "its QEMU is gone");
	arguments = json_pack("{s:s, s:i}", "command-line", "info registers",
	    "cpu-index", (int)vcpu);
	if (arguments == NULL)
		return error_nomem(error);
	rc = qmp_execute(
	    domain->qmp, "human-monitor-command", arguments, &answer, error);
	if (rc == 0)
		rc = json_is_string(answer)
			 ? qemu_regs_parse(
			       json_string_value(answer), ret_regs, error)
			 : error_set(
			       error, EBADMSG, "QEMU's registers are no text");
	json_decref(answer);
	return rc < 0 ? qemu_explain(domain, rc, error) : 0;
}
