/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Instructions of guests, counted by perf (perf_event_open(2)) while the
 * processor runs guest code only (exclude_host). A kernel that has the counter
 * need not count guests' instructions by it: KVM in software runs them as
 * anything but a guest. So a loop is run first and the count looked at.
 */
#include "kvm/instructions.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"
#include "cpu/state.h"
#include "kvm/device.h"
#include "kvm/probe_guest.h"
#include "kvm/vcpu.h"

#define LOOP_ROUNDS 10000 /* of two instructions */

/* What a page of the ring's head and one of records need. */
#define RING_PAGES 2

static int
open_counter(
    struct instructions *instructions, uint64_t limit, struct lf_error *error)
{
	struct perf_event_attr attr = {
	    .type = PERF_TYPE_HARDWARE,
	    .size = sizeof(attr),
	    .config = PERF_COUNT_HW_INSTRUCTIONS,
	    .sample_period = limit,
	    .wakeup_events = 1,
	    .exclude_host = 1,
	    .pinned = 1,
	};
	size_t bytes = RING_PAGES * (size_t)sysconf(_SC_PAGESIZE);
	void *ring;
	int fd = sys.perf_event_open(&attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return error_sys(error, errno,
		    "a guest's instructions cannot be counted here: perf "
		    "gives no counter");
	/* Read-only: perf overwrites what nobody reads. */
	ring = sys.mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED) {
		int number = errno;

		close(fd);
		return error_sys(error, number, "cannot map perf's records");
	}
	*instructions = (struct instructions){
	    .fd = fd,
	    .ring = ring,
	    .ring_bytes = bytes,
	    .limit = limit,
	};
	return 0;
}

/* 0 where it cannot be read: a pinned counter that found no place. */
static uint64_t
count(const struct instructions *instructions)
{
	uint64_t value;

	return sys.read(instructions->fd, &value, sizeof(value)) ==
		       sizeof(value)
		   ? value
		   : 0;
}

/* A loop of known length: is it what the counter says? */
static int
measure(const struct instructions *instructions, struct lf_error *error)
{
	static const uint8_t code[] = {
	    0x48, 0xff, 0xc9, /* dec rcx */
	    0x75, 0xfb,       /* jnz */
	    0xe6, 0x80,       /* out 0x80, al */
	};
	const struct cpu_regs regs = {.rcx = LOOP_ROUNDS};
	const struct kvm_device *device;
	struct probe_guest guest;
	struct lf_exit exit;
	uint64_t before, counted;
	int rc = kvm_device_get(&device, error);

	if (rc == 0)
		rc = probe_guest_init(&guest, device, 1, 0, error);
	if (rc < 0)
		return rc;
	rc = probe_guest_load(&guest, code, sizeof(code), 0, &regs, error);
	before = count(instructions);
	if (rc == 0)
		rc = vcpu_run(guest.vcpu, &exit, error);
	counted = count(instructions) - before;
	probe_guest_done(&guest);
	if (rc < 0)
		return rc;
	if (counted < 2 * LOOP_ROUNDS || counted > 3 * LOOP_ROUNDS)
		return error_set(error, ENOTSUP,
		    "a guest's instructions cannot be counted here: perf does "
		    "not see what KVM runs");
	return 0;
}

int
instructions_open(
    struct instructions *instructions, uint64_t limit, struct lf_error *error)
{
	int rc = open_counter(instructions, limit, error);

	if (rc == 0)
		rc = measure(instructions, error);
	if (rc == 0)
		rc = instructions_restart(instructions, error);
	if (rc < 0)
		instructions_close(instructions);
	return rc;
}

/* Setting the period, even to what it is, begins a new one. */
int
instructions_restart(struct instructions *instructions, struct lf_error *error)
{
	uint64_t period = instructions->limit;

	if (sys.ioctl(instructions->fd, PERF_EVENT_IOC_RESET, NULL) < 0 ||
	    sys.ioctl(instructions->fd, PERF_EVENT_IOC_PERIOD, &period) < 0)
		return error_sys(
		    error, errno, "cannot count instructions from 0");
	return 0;
}

bool
instructions_passed(const struct instructions *instructions)
{
	return count(instructions) >= instructions->limit;
}

void
instructions_close(struct instructions *instructions)
{
	if (instructions->fd < 0)
		return;
	munmap(instructions->ring, instructions->ring_bytes);
	close(instructions->fd);
	instructions->fd = -1;
}
