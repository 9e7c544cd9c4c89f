/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Running a guest up to an address through QEMU's gdb stub.
 *
 * The guest is always in one of two conditions: it runs with the breakpoint
 * placed, or it stands, and what is under way is a short exchange of
 * requests. Taking leave of the stub by closing the connection leaves the
 * guest as it stands; 'D' would resume it, and is what an error does.
 */
#include "qemu/run_until.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/sys.h"
#include "qemu/gdb_client.h"
#include "qemu/run_until_loop.h"

#define CHARDEV "xlfork-gdb"

/* How often the loop is looked for, and the page is tried to be found. */
#define LOOK_MS 20

/* How long one request to the stub may take; a vCPU may be slow to stop. */
#define REQUEST_MS 10000

struct run_until {
	struct qmp *qmp; /* borrowed */
	struct gdb_client *gdb;
	struct run_until_options options;
	int64_t deadline; /* INT64_MAX: none */
	uint64_t arrivals;
	bool chardev; /* QEMU has our end of the stub */
	bool placed;  /* the breakpoint or the loop is there */
	bool was_running;
	bool given_up;

	struct loop loop; /* also which CR3 counts */
	int64_t next_look;
};

/* Gives QEMU one end of a socketpair as the stub's connection. */
static int
attach(struct run_until *run, struct lf_error *error)
{
	cleanup_free char *text = NULL;
	json_t *chardev;
	int ends[2], rc;

	if (sys.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return error_sys(
		    error, errno, "cannot make a socketpair for gdb");
	rc = qmp_getfd(run->qmp, CHARDEV, ends[1], error);
	close_fd(ends[1]);
	if (rc == 0) {
		chardev = json_pack("{s:s, s:{s:s, s:{s:{s:s, s:{s:s}}, s:b}}}",
		    "id", CHARDEV, "backend", "type", "socket", "data", "addr",
		    "type", "fd", "data", "str", CHARDEV, "server", 0);
		rc = chardev == NULL ? error_nomem(error)
				     : qmp_execute(run->qmp, "chardev-add",
					   chardev, NULL, error);
	}
	if (rc == 0) {
		run->chardev = true;
		rc = qmp_hmp(
		    run->qmp, "gdbserver chardev:" CHARDEV, &text, error);
	}
	if (rc == 0 && strstr(text, "Could not") != NULL)
		rc = error_set(
		    error, EREMOTEIO, "QEMU's gdb stub: %.200s", text);
	if (rc < 0) {
		close_fd(ends[0]);
		return rc;
	}
	return gdb_client_new(ends[0], REQUEST_MS, &run->gdb, error);
}

/* Whether the guest runs; what QEMU says of itself. */
static int
guest_runs(struct qmp *qmp, bool *ret_runs, struct lf_error *error)
{
	json_t *status = NULL;
	int rc = qmp_execute(qmp, "query-status", NULL, &status, error);

	if (rc == 0)
		*ret_runs = json_is_true(json_object_get(status, "running"));
	json_decref(status);
	return rc;
}

/* With the guest stopped. 1 placed; 0: the page is not there yet. */
static int
place(struct run_until *run, struct lf_error *error)
{
	int rc;

	if (run->options.method == RUN_UNTIL_LOOP)
		return loop_place(
		    &run->loop, run->qmp, run->gdb, &run->placed, error);
	rc =
	    gdb_client_insert_breakpoint(run->gdb, run->options.address, error);
	run->placed = rc == 0;
	return rc < 0 ? rc : 1;
}

static int
take_back(struct run_until *run, struct lf_error *error)
{
	int rc;

	if (!run->placed)
		return 0;
	rc = run->options.method == RUN_UNTIL_BREAKPOINT
		 ? gdb_client_remove_breakpoint(
		       run->gdb, run->options.address, error)
		 : loop_take_back(&run->loop, run->gdb, error);
	if (rc == 0)
		run->placed = false;
	return rc;
}

/* Makes the guest stop, whatever it does now: 1, or an error. */
static int
interrupt(
    struct run_until *run, struct gdb_stop *ret_stop, struct lf_error *error)
{
	int rc;

	rc = gdb_client_interrupt(run->gdb, error);
	if (rc == 0)
		rc =
		    gdb_client_wait_stop(run->gdb, REQUEST_MS, ret_stop, error);
	if (rc == 0)
		return error_set(error, ETIMEDOUT,
		    "QEMU did not stop the guest within %d ms", REQUEST_MS);
	return rc;
}

/* Removes the stub from QEMU. The guest's run state stays what it is. */
static int
detach(struct run_until *run, struct lf_error *error)
{
	cleanup_free char *text = NULL;
	int rc = 0;

	gdb_client_free(take_ptr(run->gdb));
	/* "gdbserver none" frees the character device, too. */
	if (run->chardev)
		rc = qmp_hmp(run->qmp, "gdbserver none", &text, error);
	run->chardev = false;
	return rc;
}

/*
 * Gives up: what was placed is taken back and the guest runs on. The error
 * that led here stands; of what goes wrong now nothing is said, there is
 * nothing else to try.
 */
static void
give_up(struct run_until *run)
{
	struct gdb_stop stop;
	bool runs = false;

	if (run->given_up)
		return;
	run->given_up = true;
	if (run->gdb == NULL && run->chardev) {
		/* The stub stopped the guest, but would not talk. */
		detach(run, NULL);
		if (run->was_running)
			qmp_execute(run->qmp, "cont", NULL, NULL, NULL);
	} else if (run->gdb != NULL) {
		if (guest_runs(run->qmp, &runs, NULL) == 0 && runs)
			interrupt(run, &stop, NULL);
		take_back(run, NULL);
		if (run->was_running)
			gdb_client_detach(run->gdb, NULL);
		detach(run, NULL);
	}
}

/*
 * Lets the guest run. The events of its stopping and going on by our own
 * doing, four an arrival, are taken out of the queue, which has an end.
 */
static int
resume(struct run_until *run, struct lf_error *error)
{
	int rc = qmp_read_events(run->qmp, error);

	if (rc < 0)
		return rc;
	qmp_drop_events(run->qmp, "STOP");
	qmp_drop_events(run->qmp, "RESUME");
	return gdb_client_continue(run->gdb, error);
}

/* The vCPU that stands at the address and matches: 1, or 0 for none. */
static int
find_arrived(struct run_until *run, uint32_t first, uint32_t *ret_thread,
    uint64_t *ret_cr3, bool *ret_other, struct lf_error *error)
{
	uint32_t threads[GDB_THREADS_MAX + 1];
	int count, i, rc;
	uint64_t rip, cr3;

	*ret_other = false;
	/* The reported one before the others. */
	threads[0] = first;
	count =
	    gdb_client_threads(run->gdb, threads + 1, GDB_THREADS_MAX, error);
	if (count < 0)
		return count;
	for (i = first == 0; i <= count; i++) {
		rc = gdb_client_read_register(
		    run->gdb, threads[i], "rip", &rip, error);
		if (rc == 0 && rip == run->options.address)
			rc = gdb_client_read_register(
			    run->gdb, threads[i], "cr3", &cr3, error);
		if (rc < 0)
			return rc;
		if (rip != run->options.address)
			continue;
		*ret_thread = threads[i];
		*ret_cr3 = cr3;
		if (loop_cr3_matches(&run->loop, cr3)) {
			*ret_other = false;
			return 1;
		}
		*ret_other = true;
	}
	return 0;
}

/* Lets an unwanted arrival pass: one instruction without the breakpoint. */
static int
step_over(struct run_until *run, uint32_t thread, struct lf_error *error)
{
	int rc;

	rc = take_back(run, error);
	if (rc == 0)
		rc = gdb_client_step(run->gdb, thread, error);
	if (rc == 0)
		rc = place(run, error);
	return rc < 0 ? rc : 0;
}

/* The guest stands, by a stop of `thread` (0: unknown). */
static int
judge(struct run_until *run, uint32_t thread,
    struct run_until_result *ret_result, struct lf_error *error)
{
	uint64_t cr3 = 0;
	bool other;
	int rc;

	rc = find_arrived(run, thread, &thread, &cr3, &other, error);
	if (rc < 0)
		return rc;
	if (rc == 1) {
		run->arrivals++;
		if (run->arrivals >= run->options.count) {
			rc = take_back(run, error);
			if (rc == 0)
				rc = detach(run, error);
			if (rc < 0)
				return rc;
			run->given_up = true;
			*ret_result =
			    (struct run_until_result){.vcpu = thread - 1,
				.arrivals = run->arrivals,
				.cr3 = cr3};
			return 1;
		}
	}
	if (rc == 1 || other)
		rc = step_over(run, thread, error);
	if (rc == 0)
		rc = resume(run, error);
	return rc;
}

/* Something stopped the guest: our breakpoint, or what we have no part in. */
static int
on_stop(struct run_until *run, const struct gdb_stop *stop,
    struct run_until_result *ret_result, struct lf_error *error)
{
	if (stop->kind == 'W' || stop->kind == 'X')
		return error_set(error, EPIPE,
		    "the guest ended before it arrived at 0x%" PRIx64,
		    run->options.address);
	if (stop->signal == 5)
		return judge(run, stop->thread, ret_result, error);
	return error_set(error, ECANCELED,
	    "the guest was stopped by something else (signal %u) before it "
	    "arrived at 0x%" PRIx64,
	    stop->signal, run->options.address);
}

/* Whether the text of "info registers -a" shows a vCPU at the address. */
static bool
shows_arrival(const char *text, uint64_t address)
{
	char wanted[32];

	snprintf(wanted, sizeof(wanted), "RIP=%016" PRIx64, address);
	return strstr(text, wanted) != NULL;
}

/*
 * The loop does not report by itself. A vCPU that spins in it is still
 * interrupted, so when one was seen there it may be elsewhere once the guest
 * stands: then it is looked for again.
 */
static int
look(struct run_until *run, struct run_until_result *ret_result,
    struct lf_error *error)
{
	cleanup_free char *text = NULL;
	struct gdb_stop stop;
	int rc;

	/* Also what has nothing to say comes to run_until_step(). */
	if (clock_ms() < run->next_look)
		return 0;
	run->next_look = clock_ms() + LOOK_MS;
	if (run->placed) {
		rc = qmp_hmp(run->qmp, "info registers -a", &text, error);
		if (rc < 0)
			return rc;
		if (!shows_arrival(text, run->options.address))
			return 0;
	}
	rc = interrupt(run, &stop, error);
	if (rc < 0)
		return rc;
	if (stop.kind == 'W' || stop.kind == 'X')
		return on_stop(run, &stop, ret_result, error);
	if (run->placed)
		return judge(run, 0, ret_result, error);
	rc = place(run, error);
	return rc < 0 ? rc : resume(run, error);
}

static int
timed_out(const struct run_until *run, struct lf_error *error)
{
	const char *now = run->was_running ? "runs on" : "is paused again";

	if (run->options.method == RUN_UNTIL_LOOP && !run->loop.located)
		return error_set(error, ETIMEDOUT,
		    "0x%" PRIx64 " was mapped on no vCPU%s within %d ms; the "
		    "guest %s",
		    run->options.address,
		    run->options.match_cr3 ? " with that CR3" : "",
		    run->options.timeout_ms, now);
	return error_set(error, ETIMEDOUT,
	    "0x%" PRIx64 " was reached %" PRIu64 " of %" PRIu64
	    " times%s within %d ms; the guest %s",
	    run->options.address, run->arrivals, run->options.count,
	    run->options.match_cr3 ? " with that CR3" : "",
	    run->options.timeout_ms, now);
}

int
run_until_start(struct qmp *qmp, const struct run_until_options *options,
    struct run_until **ret_run, struct lf_error *error)
{
	struct run_until *run = sys.calloc(1, sizeof(*run));
	int rc;

	if (run == NULL)
		return error_nomem(error);
	run->qmp = qmp;
	run->options = *options;
	run->loop = (struct loop){
	    .address = options->address,
	    .match_cr3 = options->match_cr3,
	    .cr3 = options->cr3,
	};
	if (run->options.count == 0)
		run->options.count = 1;
	run->deadline = options->timeout_ms < 0
			    ? INT64_MAX
			    : clock_ms() + options->timeout_ms;
	rc = guest_runs(qmp, &run->was_running, error);
	if (options->stands)
		run->was_running = false;
	if (rc == 0)
		rc = attach(run, error);
	if (rc == 0)
		rc = place(run, error);
	if (rc >= 0)
		rc = resume(run, error);
	if (rc < 0) {
		run_until_free(run);
		return rc;
	}
	*ret_run = run;
	return 0;
}

int
run_until_fd(const struct run_until *run)
{
	return gdb_client_fd(run->gdb);
}

int
run_until_wait_ms(const struct run_until *run)
{
	int64_t left;
	int wait = -1;

	if (run->options.method == RUN_UNTIL_LOOP)
		wait = run->next_look > clock_ms() ? run->next_look - clock_ms()
						   : 0;
	if (run->deadline != INT64_MAX) {
		left = run->deadline - clock_ms();
		if (left < 0)
			left = 0;
		if (wait < 0 || left < wait)
			wait = left;
	}
	return wait;
}

int
run_until_step(struct run_until *run, struct run_until_result *ret_result,
    struct lf_error *error)
{
	struct gdb_stop stop;
	int rc;

	rc = gdb_client_wait_stop(run->gdb, 0, &stop, error);
	if (rc > 0)
		rc = on_stop(run, &stop, ret_result, error);
	else if (rc == 0 && run->options.method == RUN_UNTIL_LOOP)
		rc = look(run, ret_result, error);
	if (rc == 0 && clock_ms() >= run->deadline)
		rc = timed_out(run, error);
	if (rc < 0)
		give_up(run);
	return rc;
}

void
run_until_free(struct run_until *run)
{
	if (run == NULL)
		return;
	give_up(run);
	gdb_client_free(run->gdb);
	free(run);
}

int
run_until(struct qmp *qmp, const struct run_until_options *options,
    struct run_until_result *ret_result, struct lf_error *error)
{
	cleanup(run_until_free_p) struct run_until *run = NULL;
	struct pollfd fd = {.events = POLLIN};
	int rc;

	rc = run_until_start(qmp, options, &run, error);
	if (rc < 0)
		return rc;
	for (;;) {
		fd.fd = run_until_fd(run);
		if (sys.poll(&fd, 1, run_until_wait_ms(run)) < 0 &&
		    errno != EINTR)
			return error_sys(
			    error, errno, "cannot wait for the guest");
		rc = run_until_step(run, ret_result, error);
		if (rc != 0)
			return rc;
	}
}
