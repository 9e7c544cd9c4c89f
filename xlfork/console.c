/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Relaying a console. Input that the guest does not take yet is kept, and no
 * more is read meanwhile, so neither direction can hold up the other.
 */
#include "xlfork/console.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "base/sys.h"
#include "xlfork/report.h"

/* How often a console that is a file is looked at, and its domain. */
#define FILE_POLL_MS    100
#define DOMAIN_CHECK_MS 1000

/* The terminal as it was; for the signal handler, so one per process. */
static struct termios saved_terminal;
static volatile sig_atomic_t terminal_is_raw;

static void
restore_terminal(void)
{
	if (terminal_is_raw)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved_terminal);
	terminal_is_raw = 0;
}

static void
on_signal(int signal)
{
	restore_terminal();
	raise(signal); /* SA_RESETHAND: now with its default effect */
}

static void
make_terminal_raw(void)
{
	static const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT};
	struct sigaction action = {
	    .sa_handler = on_signal, .sa_flags = SA_RESETHAND};
	struct termios raw;
	size_t i;

	if (tcgetattr(STDIN_FILENO, &saved_terminal) < 0)
		return;
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	raw = saved_terminal;
	cfmakeraw(&raw);
	terminal_is_raw = 1;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
}

int
console_open(struct session *s, const char *domain, struct console *ret_console,
    struct lf_error *error)
{
	cleanup_json json_t *info = NULL, *result = NULL;
	cleanup_close int fd = -1;
	struct control_fds fds = {.received = &fd, .received_max = 1};
	struct console console = {.session = s, .fd = -1};
	const char *type = "";
	json_t *arguments;
	int rc;

	rc = session_domain("domain", domain, &arguments, error);
	if (rc < 0)
		return rc;
	rc = session_call(s, "console", json_incref(arguments),
	    "opening the console", &fds, &result, error);
	if (rc == 0 && (fds.received_count != 1 ||
			   json_unpack(result, "{s:s}", "type", &type) < 0))
		rc = error_set(error, EBADMSG,
		    "forkd's answer to 'console' holds no console");
	if (rc == 0)
		rc = session_call(s, "info", json_incref(arguments), "asking",
		    NULL, &info, error);
	json_decref(arguments);
	if (rc < 0)
		return rc;
	snprintf(console.domain, sizeof(console.domain), "%" PRId64,
	    (int64_t)json_integer_value(json_object_get(info, "id")));
	console.is_file = strcmp(type, "file") == 0;
	if (!console.is_file && sys.fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return error_sys(error, errno, "cannot use the console");
	console.fd = take_fd(&fd);
	*ret_console = console;
	return 0;
}

void
console_close(struct console *console)
{
	console->fd = close_fd(console->fd);
}

/* One relay's state. */
struct relay {
	struct console *console;
	char input[4096]; /* read, not yet taken by the guest */
	size_t used, len;
	bool input_over;
	bool left; /* the user typed the escape */
};

static int
read_input(struct relay *r, struct lf_error *error)
{
	ssize_t n = sys.read(STDIN_FILENO, r->input, sizeof(r->input));
	char *escape = NULL;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0)
		return error_sys(error, errno, "cannot read standard input");
	if (n == 0) {
		r->input_over = true;
		return 0;
	}
	if (terminal_is_raw)
		escape = memchr(r->input, CONSOLE_ESCAPE, (size_t)n);
	if (escape != NULL) {
		r->left = true;
		n = escape - r->input;
	}
	r->used = 0;
	/* A file is the guest's to write, not ours. */
	r->len = r->console->is_file ? 0 : (size_t)n;
	return 0;
}

/* 1 while the console goes on, 0 at its end. */
static int
give_input(struct relay *r, struct lf_error *error)
{
	ssize_t n =
	    sys.write(r->console->fd, r->input + r->used, r->len - r->used);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 1;
	if (n < 0 && (errno == EIO || errno == EPIPE || errno == ECONNRESET))
		return 0;
	if (n < 0)
		return error_sys(error, errno, "cannot write to the console");
	r->used += (size_t)n;
	return 1;
}

/* 1 when something was shown, 0 when there is nothing now, -EPIPE at the end.
 */
static int
show_output(struct relay *r, struct lf_error *error)
{
	char buf[16384];
	ssize_t n = sys.read(r->console->fd, buf, sizeof(buf));
	int rc;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	/* EIO: the other end of a pty is gone. */
	if (n < 0 && (errno == EIO || errno == ECONNRESET))
		return -EPIPE;
	if (n < 0)
		return error_sys(error, errno, "cannot read the console");
	if (n == 0)
		return r->console->is_file ? 0 : -EPIPE;
	rc = io_write_all(STDOUT_FILENO, buf, (size_t)n);
	if (rc < 0)
		return error_sys(
		    error, -rc, "cannot write the console's output");
	return 1;
}

/* Whether the domain of a console that is a file still exists. */
static bool
domain_exists(const struct console *console)
{
	struct lf_error error;
	json_t *arguments;

	return session_domain("domain", console->domain, &arguments, &error) ==
		   0 &&
	       session_call(console->session, "domname", arguments, "asking",
		   NULL, NULL, &error) == 0;
}

/* 1: go on, 0: the console is at its end. */
static int
relay_file(struct relay *r, unsigned *idle_ms, struct lf_error *error)
{
	bool gone = *idle_ms >= DOMAIN_CHECK_MS && !domain_exists(r->console);
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	int rc;

	rc = show_output(r, error);
	if (rc != 0)
		return rc;
	if (gone || !io_has_reader(STDOUT_FILENO))
		return 0;
	if (*idle_ms >= DOMAIN_CHECK_MS)
		*idle_ms = 0;
	*idle_ms += FILE_POLL_MS;
	rc = sys.poll(&p, r->input_over ? 0 : 1, FILE_POLL_MS);
	if (rc < 0 && errno != EINTR)
		return error_sys(error, errno, "cannot wait for the console");
	if (rc > 0) {
		rc = read_input(r, error);
		if (rc < 0)
			return rc;
	}
	return 1;
}

static int
relay_stream(struct relay *r, struct lf_error *error)
{
	bool pending = r->used < r->len;
	struct pollfd p[3] = {
	    {.fd = r->console->fd, .events = POLLIN},
	    {.fd = r->input_over || pending ? -1 : STDIN_FILENO,
		.events = POLLIN},
	    {.fd = STDOUT_FILENO},
	};
	int rc;

	if (pending)
		p[0].events |= POLLOUT;
	if (sys.poll(p, 3, -1) < 0)
		return errno == EINTR ? 1
				      : error_sys(error, errno,
					    "cannot wait for the console");
	/* Nobody reads any more what is shown. */
	if ((p[2].revents & POLLERR) != 0)
		return 0;
	if (p[1].revents != 0) {
		rc = read_input(r, error);
		if (rc < 0)
			return rc;
	}
	if ((p[0].revents & POLLOUT) != 0) {
		rc = give_input(r, error);
		if (rc <= 0)
			return rc;
	}
	if ((p[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
		rc = show_output(r, error);
		if (rc < 0)
			return rc == -EPIPE ? 0 : rc;
	}
	return 1;
}

int
console_relay(struct console *console, struct lf_error *error)
{
	struct relay relay = {.console = console};
	bool terminal = isatty(STDIN_FILENO) != 0;
	unsigned idle_ms = 0;
	int rc;

	if (terminal) {
		report(
		    "console of domain %s; Ctrl-] leaves it", console->domain);
		make_terminal_raw();
	}
	do {
		rc = console->is_file ? relay_file(&relay, &idle_ms, error)
				      : relay_stream(&relay, error);
	} while (rc > 0 && !relay.left);
	restore_terminal();
	if (terminal) {
		fputc('\n', stderr);
		if (rc == 0)
			report("the console ended");
	}
	return rc < 0 ? rc : 0;
}
