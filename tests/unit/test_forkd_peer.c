/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forkd/peer: connections in a loop, with calls, answers and events.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "forkd/peer.h"

struct end {
	struct peer *peer;
	struct peer_request *held; /* a request that is not answered yet */
	bool hold;
	unsigned requests, answers, events, closed;
	int last_code;
	char last_words[1024];
};

static void
on_request(void *opaque, struct peer_request *request)
{
	struct end *end = opaque;
	struct lf_error error;

	end->requests++;
	if (end->hold)
		end->held = request;
	else if (strcmp(request->name, "fail") == 0) {
		error_set(&error, EBUSY, "not now");
		peer_fail(request, &error);
	} else
		peer_return(request, json_object(), NULL, 0);
}

static void
on_event(void *opaque, const char *name, json_t *data)
{
	struct end *end = opaque;

	(void)data;
	cr_assert_str_eq(name, "A");
	end->events++;
}

static void
on_closed(void *opaque, const struct lf_error *why)
{
	struct end *end = opaque;

	(void)why;
	end->closed++;
	peer_free(end->peer);
	end->peer = NULL;
}

static void
on_answer(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct end *end = opaque;

	(void)result;
	(void)answer;
	end->answers++;
	end->last_code = error != NULL ? error->code : 0;
	snprintf(end->last_words, sizeof(end->last_words), "%s",
	    error != NULL ? error->message : "");
}

static const struct peer_ops ops = {
    .request = on_request, .event = on_event, .closed = on_closed};
static const struct peer_ops serial_ops = {
    .request = on_request, .closed = on_closed, .serial = true};

static struct event_base *base;

static void
make_ends(struct end *a, struct end *b, const struct peer_ops *b_ops)
{
	struct lf_error error;
	int sv[2];

	base = event_base_new();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	cr_assert_eq(peer_new(base, sv[0], &ops, a, &a->peer, &error), 0);
	cr_assert_eq(peer_new(base, sv[1], b_ops, b, &b->peer, &error), 0);
}

TestSuite(peer, .timeout = 60);

/* Lets the loop work until something is the case, however long that takes. */
#define turn_until(condition)                               \
	do {                                                \
		while (!(condition))                        \
			event_base_loop(base, EVLOOP_ONCE); \
	} while (0)

static void
free_ends(struct end *a, struct end *b)
{
	peer_free(a->peer);
	peer_free(b->peer);
	event_base_free(base);
}

Test(peer, calls_are_answered_or_refused)
{
	struct end a = {0}, b = {0};

	make_ends(&a, &b, &ops);
	peer_call(a.peer, "hello", NULL, -1, on_answer, &a);
	turn_until(a.answers == 1);
	cr_assert_eq(a.last_code, 0);
	peer_call(a.peer, "fail", NULL, -1, on_answer, &a);
	turn_until(a.answers == 2);
	cr_assert_eq(a.last_code, -EBUSY);
	free_ends(&a, &b);
}

Test(peer, a_call_that_nobody_answers_times_out_and_its_late_answer_is_dropped)
{
	struct end a = {0}, b = {.hold = true};

	make_ends(&a, &b, &ops);
	peer_call(a.peer, "hello", NULL, 30, on_answer, &a);
	turn_until(b.held != NULL && a.answers == 1);
	cr_assert_eq(a.last_code, -ETIMEDOUT);
	peer_return(b.held, json_object(), NULL, 0);
	/* It has come by when the answer to the next call is there. */
	b.hold = false;
	peer_call(a.peer, "hello", NULL, -1, on_answer, &a);
	turn_until(a.answers >= 2);
	cr_assert_eq(a.answers, 2);
	cr_assert_eq(a.last_code, 0);
	cr_assert_eq(a.closed, 0);
	free_ends(&a, &b);
}

Test(peer, open_calls_fail_when_the_other_end_goes_away)
{
	struct end a = {0}, b = {.hold = true};

	make_ends(&a, &b, &ops);
	peer_call(a.peer, "hello", NULL, -1, on_answer, &a);
	turn_until(b.held != NULL);
	peer_free(b.peer);
	b.peer = NULL;
	turn_until(a.closed == 1);
	cr_assert_eq(a.answers, 1);
	cr_assert_eq(a.last_code, -EPIPE);
	/* The request outlived its connection. */
	cr_assert_null(b.held->peer);
	peer_return(b.held, json_object(), NULL, 0);
	free_ends(&a, &b);
}

Test(peer, a_serial_peer_takes_the_next_command_after_the_answer)
{
	struct end a = {0}, b = {.hold = true};
	int i;

	make_ends(&a, &b, &serial_ops);
	for (i = 0; i < 3; i++)
		peer_call(a.peer, "hello", NULL, -1, on_answer, &a);
	for (i = 1; i <= 3; i++) {
		turn_until(b.requests >= (unsigned)i);
		cr_assert_eq(b.requests, (unsigned)i);
		peer_return(b.held, json_object(), NULL, 0);
		turn_until(a.answers >= (unsigned)i);
		cr_assert_eq(a.answers, (unsigned)i);
	}
	free_ends(&a, &b);
}

Test(peer, an_end_that_does_not_read_is_dropped)
{
	struct end a = {0}, b = {0};
	char text[60001];
	json_t *event;
	int i;

	make_ends(&a, &b, &ops);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	event = json_pack("{s:s, s:s}", "event", "A", "text", text);
	for (i = 0; i < 100; i++)
		peer_send(a.peer, event);
	json_decref(event);
	turn_until(a.closed == 1);
	free_ends(&a, &b);
}

Test(peer, garbage_ends_the_connection_with_a_reason)
{
	struct end a = {0}, b = {0};
	struct lf_error error;
	char answer[200];
	ssize_t n;
	int sv[2];

	(void)a;
	base = event_base_new();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	cr_assert_eq(peer_new(base, sv[0], &ops, &b, &b.peer, &error), 0);
	cr_assert_eq(write(sv[1], "{]", 2), 2);
	turn_until(b.closed == 1);
	n = read(sv[1], answer, sizeof(answer) - 1);
	cr_assert_gt(n, 0);
	answer[n] = '\0';
	cr_assert_not_null(strstr(answer, "BadMessage"));
	cr_assert_eq(read(sv[1], answer, sizeof(answer)), 0);
	cr_assert_eq(b.closed, 1);
	event_base_free(base);
	close(sv[1]);
}

/* --- short of descriptors --- */

/* As many descriptors as are open now and `more` are all that there are. */
static struct rlimit
limit_descriptors(int more)
{
	struct rlimit before, now;
	int lowest = dup(0);

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	now = before;
	now.rlim_cur = (rlim_t)(lowest + more);
	close(lowest);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
	return before;
}

/* What is said next on the same connection is answered. */
static void
check_goes_on(struct end *a)
{
	unsigned answers = a->answers;

	peer_call(a->peer, "hello", NULL, -1, on_answer, a);
	turn_until(a->answers == answers + 1);
	cr_assert_eq(a->last_code, 0);
}

Test(peer, a_call_whose_descriptors_cannot_be_copied_fails_alone)
{
	struct end a = {0}, b = {0};
	struct rlimit before;
	const int null = 0;
	const struct peer_load load = {.fds = &null, .fd_count = 1};

	make_ends(&a, &b, &ops);
	before = limit_descriptors(0);
	peer_call(a.peer, "take", &load, -1, on_answer, &a);
	turn_until(a.answers == 1);
	setrlimit(RLIMIT_NOFILE, &before);
	cr_assert_eq(a.last_code, -EMFILE);
	check_goes_on(&a);
	cr_assert_eq(a.closed + b.closed, 0);
	free_ends(&a, &b);
}

Test(peer, an_answer_whose_descriptors_cannot_be_copied_becomes_a_refusal)
{
	struct end a = {0}, b = {.hold = true};
	struct rlimit before;
	int null = 0;

	make_ends(&a, &b, &ops);
	peer_call(a.peer, "give", NULL, -1, on_answer, &a);
	turn_until(b.held != NULL);
	before = limit_descriptors(0);
	peer_return(b.held, json_object(), &null, 1);
	setrlimit(RLIMIT_NOFILE, &before);
	turn_until(a.answers == 1);
	cr_assert_lt(a.last_code, 0);
	cr_assert_not_null(strstr(a.last_words, "cannot copy a descriptor"),
	    "%s", a.last_words);
	b.hold = false;
	check_goes_on(&a);
	free_ends(&a, &b);
}

Test(peer, a_request_whose_descriptors_got_lost_here_is_refused)
{
	struct end a = {0}, b = {0};
	const int two[] = {0, 0};
	const struct peer_load load = {.fds = two, .fd_count = 2};
	struct rlimit before;

	make_ends(&a, &b, &ops);
	peer_call(a.peer, "take", &load, -1, on_answer, &a);
	before = limit_descriptors(1);
	turn_until(a.answers == 1);
	setrlimit(RLIMIT_NOFILE, &before);
	cr_assert_lt(a.last_code, 0);
	cr_assert_not_null(
	    strstr(a.last_words, "got lost"), "%s", a.last_words);
	cr_assert_eq(b.requests, 0);
	check_goes_on(&a);
	cr_assert_eq(a.closed + b.closed, 0);
	free_ends(&a, &b);
}

Test(peer, an_answer_whose_descriptors_got_lost_here_is_an_error)
{
	struct end a = {0}, b = {.hold = true};
	int two[] = {0, 0};
	struct rlimit before;

	make_ends(&a, &b, &ops);
	peer_call(a.peer, "give", NULL, -1, on_answer, &a);
	turn_until(b.held != NULL);
	peer_return(b.held, json_object(), two, 2);
	before = limit_descriptors(1);
	turn_until(a.answers == 1);
	setrlimit(RLIMIT_NOFILE, &before);
	cr_assert_eq(a.last_code, -EMFILE);
	cr_assert_not_null(
	    strstr(a.last_words, "got lost"), "%s", a.last_words);
	b.hold = false;
	check_goes_on(&a);
	free_ends(&a, &b);
}
