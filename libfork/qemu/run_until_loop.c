/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Placing the loop, and taking it back. Its bytes are written to guest-physical
 * memory, whatever the page's rights.
 */
#include "qemu/run_until_loop.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

/* Page frame in CR3 (SDM volume 3, 4.5): PCID and the flags are left out. */
#define CR3_FRAME UINT64_C(0x000ffffffffff000)

/* jmp to itself. */
static const uint8_t loop_code[LOOP_BYTES] = {0xeb, 0xfe};

/* Instructions that can begin within the loop's bytes, at most. */
#define STEPS_MAX 4

bool
loop_cr3_matches(const struct loop *loop, uint64_t cr3)
{
	return !loop->match_cr3 || (cr3 & CR3_FRAME) == (loop->cr3 & CR3_FRAME);
}

/* One address as a vCPU sees it now: 1, or 0 when it is not mapped. */
static int
translate(struct qmp *qmp, unsigned vcpu, uint64_t address, uint64_t *ret_gpa,
    struct lf_error *error)
{
	json_t *arguments, *answer = NULL;
	char line[64];
	int rc;

	snprintf(line, sizeof(line), "gva2gpa 0x%" PRIx64, address);
	arguments = json_pack(
	    "{s:s, s:i}", "command-line", line, "cpu-index", (int)vcpu);
	if (arguments == NULL)
		return error_nomem(error);
	rc = qmp_execute(
	    qmp, "human-monitor-command", arguments, &answer, error);
	if (rc == 0)
		rc = json_is_string(answer) &&
		     sscanf(json_string_value(answer), "gpa: %" SCNx64,
			 ret_gpa) == 1;
	json_decref(answer);
	return rc;
}

/* With the guest stopped: finds where the loop has to go. 1 found, 0 not. */
static int
locate(struct loop *loop, struct qmp *qmp, struct gdb_client *gdb,
    struct lf_error *error)
{
	uint32_t threads[GDB_THREADS_MAX];
	int count, i, rc;
	uint64_t cr3;
	size_t byte;

	count = gdb_client_threads(gdb, threads, GDB_THREADS_MAX, error);
	for (i = 0; i < count; i++) {
		rc = gdb_client_read_register(
		    gdb, threads[i], "cr3", &cr3, error);
		if (rc < 0)
			return rc;
		if (!loop_cr3_matches(loop, cr3))
			continue;
		for (byte = 0; byte < sizeof(loop_code); byte++) {
			rc = translate(qmp, threads[i] - 1,
			    loop->address + byte, &loop->gpa[byte], error);
			if (rc < 0)
				return rc;
			if (rc == 0)
				break;
		}
		if (byte == sizeof(loop_code))
			return 1;
	}
	return count < 0 ? count : 0;
}

static int
read_code(const struct loop *loop, struct gdb_client *gdb, uint8_t *buf,
    struct lf_error *error)
{
	size_t i;
	int rc = 0;

	for (i = 0; rc == 0 && i < sizeof(loop_code); i++)
		rc = gdb_client_read_memory(
		    gdb, GDB_PHYSICAL, loop->gpa[i], &buf[i], 1, error);
	return rc;
}

static int
write_code(const struct loop *loop, struct gdb_client *gdb,
    const uint8_t *bytes, struct lf_error *error)
{
	size_t i;
	int rc = 0;

	for (i = 0; rc == 0 && i < sizeof(loop_code); i++)
		rc = gdb_client_write_memory(
		    gdb, GDB_PHYSICAL, loop->gpa[i], &bytes[i], 1, error);
	return rc;
}

/*
 * Takes a vCPU that stands behind the loop's first byte out of its way: it
 * would execute the second. (A thread that the guest has put aside just there
 * cannot be seen; it takes an instruction of one byte at the address and an
 * interrupt right behind it.)
 */
static int
clear_the_way(const struct loop *loop, struct gdb_client *gdb, uint32_t thread,
    struct lf_error *error)
{
	uint64_t rip = 0;
	int steps, rc;

	for (steps = 0; steps < STEPS_MAX; steps++) {
		rc = gdb_client_read_register(gdb, thread, "rip", &rip, error);
		if (rc < 0 || rip - loop->address - 1 >= sizeof(loop_code) - 1)
			return rc;
		rc = gdb_client_step(gdb, thread, error);
		if (rc < 0)
			return rc;
	}
	return error_set(error, EDEADLK,
	    "vCPU %u does not leave 0x%" PRIx64 " by single steps", thread - 1,
	    rip);
}

int
loop_place(struct loop *loop, struct qmp *qmp, struct gdb_client *gdb,
    bool *ret_touched, struct lf_error *error)
{
	uint32_t threads[GDB_THREADS_MAX];
	int count, i, rc;

	if (!loop->located) {
		rc = locate(loop, qmp, gdb, error);
		if (rc <= 0)
			return rc;
		rc = read_code(loop, gdb, loop->saved, error);
		if (rc < 0)
			return rc;
		loop->located = true;
	}
	count = gdb_client_threads(gdb, threads, GDB_THREADS_MAX, error);
	for (i = 0; i < count; i++) {
		rc = clear_the_way(loop, gdb, threads[i], error);
		if (rc < 0)
			return rc;
	}
	if (count < 0)
		return count;
	/* From here on bytes may have to be put back, also after an error. */
	*ret_touched = true;
	rc = write_code(loop, gdb, loop_code, error);
	return rc < 0 ? rc : 1;
}

int
loop_take_back(
    const struct loop *loop, struct gdb_client *gdb, struct lf_error *error)
{
	return write_code(loop, gdb, loop->saved, error);
}
