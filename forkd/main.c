/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forkd: the command line, and which role this process has.
 */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "forkd/daemon.h"
#include "forkd/daemon_main.h"
#include "forkd/domain_main.h"
#include "forkd/host.h"
#include "forkd/sandbox.h"

enum {
	OPTION_RUN_DIR = 256,
	OPTION_STATE_DIR,
	OPTION_QEMU,
	OPTION_QEMU_IMG,
	OPTION_QEMU_USER,
	OPTION_ADOPT_WITHIN,
	OPTION_AUTO_EXIT,
	OPTION_READY_FD,
	OPTION_DEBUG,
	OPTION_PROBE,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option long_options[] = {
    {"run-dir", required_argument, NULL, OPTION_RUN_DIR},
    {"state-dir", required_argument, NULL, OPTION_STATE_DIR},
    {"qemu", required_argument, NULL, OPTION_QEMU},
    {"qemu-img", required_argument, NULL, OPTION_QEMU_IMG},
    {"qemu-user", required_argument, NULL, OPTION_QEMU_USER},
    {"adopt-within", required_argument, NULL, OPTION_ADOPT_WITHIN},
    {"auto-exit", no_argument, NULL, OPTION_AUTO_EXIT},
    {"ready-fd", required_argument, NULL, OPTION_READY_FD},
    {"debug", no_argument, NULL, OPTION_DEBUG},
    {"probe", no_argument, NULL, OPTION_PROBE},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "usage: forkd [OPTION...]\n"
    "Keeps the domains of xlfork: one forkd for each user.\n"
    "\n"
    "  --run-dir DIR     socket and process files ($FORKD_RUN_DIR,\n"
    "                    /run/forkd for root, $XDG_RUNTIME_DIR/forkd)\n"
    "  --state-dir DIR   overlays ($FORKD_STATE_DIR, /var/lib/forkd for\n"
    "                    root, $XDG_STATE_HOME/forkd)\n"
    "  --qemu PROGRAM    instead of qemu-system-x86_64\n"
    "  --qemu-img PROGRAM\n"
    "                    instead of qemu-img\n"
    "  --qemu-user USER  whom QEMU runs as when forkd is root (nobody)\n"
    "  --adopt-within SECONDS\n"
    "                    domains end when this forkd died and no other came\n"
    "                    for so long (they wait for ever)\n"
    "  --auto-exit       end when no domain and no client is left\n"
    "  --ready-fd N      write \"ready\" to descriptor N, or why not\n"
    "  --debug           messages of domain processes on standard error\n"
    "  --probe           print what accelerator=auto means here, and why\n"
    "  --help, --version\n";

/* What was asked for instead of a daemon. */
static void __attribute__((noreturn)) print_and_exit(const char *text)
{
	if (fputs(text, stdout) < 0 || fflush(stdout) != 0) {
		fprintf(stderr, "forkd: cannot write to standard output: %s\n",
		    strerror(errno));
		exit(1);
	}
	exit(0);
}

/* xlfork and a later forkd have to find it, wherever they were called. */
static bool
is_directory_path(const char *option, const char *path)
{
	if (path[0] == '/')
		return true;
	fprintf(stderr, "forkd: %s '%s': not an absolute path\n", option, path);
	return false;
}

static bool
parse_seconds(const char *text, unsigned *ret_seconds)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 ||
	    number > INT_MAX) {
		fprintf(stderr,
		    "forkd: --adopt-within %s: not a number of seconds\n",
		    text);
		return false;
	}
	*ret_seconds = (unsigned)number;
	return true;
}

static bool
parse_ready_fd(const char *text, int *ret_fd)
{
	char *end;

	*ret_fd = (int)strtol(text, &end, 10);
	if (*end != '\0' || fcntl(*ret_fd, F_SETFD, FD_CLOEXEC) < 0) {
		fprintf(stderr,
		    "forkd: --ready-fd %s: not an open descriptor\n", text);
		return false;
	}
	return true;
}

static int
parse_options(
    int argc, char **argv, struct daemon_options *options, bool *ret_probe)
{
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (c) {
		case OPTION_RUN_DIR:
			if (!is_directory_path("--run-dir", optarg))
				return 2;
			options->run_dir = optarg;
			break;
		case OPTION_STATE_DIR:
			if (!is_directory_path("--state-dir", optarg))
				return 2;
			options->state_dir = optarg;
			break;
		case OPTION_QEMU:
			options->qemu = optarg;
			break;
		case OPTION_QEMU_IMG:
			options->qemu_img = optarg;
			break;
		case OPTION_QEMU_USER:
			options->qemu_user = optarg;
			break;
		case OPTION_ADOPT_WITHIN:
			if (!parse_seconds(optarg, &options->adopt_within))
				return 2;
			break;
		case OPTION_AUTO_EXIT:
			options->auto_exit = true;
			break;
		case OPTION_READY_FD:
			if (!parse_ready_fd(optarg, &options->ready_fd))
				return 2;
			break;
		case OPTION_DEBUG:
			options->debug = true;
			break;
		case OPTION_PROBE:
			*ret_probe = true;
			break;
		case OPTION_HELP:
			print_and_exit(help);
		case OPTION_VERSION:
			print_and_exit("forkd " PACKAGE_VERSION "\n");
		default:
			fputs("forkd: 'forkd --help' shows the options\n",
			    stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "forkd: unexpected word '%s'\n", argv[optind]);
		return 2;
	}
	return 0;
}

/*
 * The roles that forkd gives to itself, executed again: forkd --role domain ID
 * SECONDS [UID GID GID], forkd --role probe [UID GID GID]; the last is KVM's
 * group.
 */
static int
run_role(int argc, char **argv)
{
	const char *role = argv[2];
	bool probe = strcmp(role, "probe") == 0;
	int user = probe ? 3 : 5;
	struct spawn_user other = {.change = false};
	uid_t forkd_uid = geteuid();
	struct lf_error error;

	if (argc > user + 1) {
		gid_t gid = (gid_t)strtoul(argv[user + 1], NULL, 10);

		other = (struct spawn_user){.change = true,
		    .uid = (uid_t)strtoul(argv[user], NULL, 10),
		    .gid = gid,
		    .extra_gid = argc > user + 2
				     ? (gid_t)strtoul(argv[user + 2], NULL, 10)
				     : gid};
	}
	/* It becomes the user itself, and looks again if that may not look. */
	if (probe)
		return host_probe_main(&other, HOST_PROBE_FD);
	if (other.change &&
	    sandbox_become(other.uid, other.gid, other.extra_gid, &error) < 0) {
		fprintf(stderr, "forkd: %s\n", error.message);
		return 1;
	}
	if (strcmp(role, "domain") == 0 && argc > 4)
		return domain_process_main((unsigned)strtoul(argv[3], NULL, 10),
		    (unsigned)strtoul(argv[4], NULL, 10), forkd_uid);
	fprintf(stderr, "forkd: there is no role '%s'\n", role);
	return 2;
}

/* What a forkd with these options would decide. */
static int
print_probe(const struct daemon_options *options)
{
	struct spawn_user user;
	struct lf_error error;

	if (daemon_find_user(options, &user, &error) < 0) {
		fprintf(stderr, "forkd: %s\n", error.message);
		return 1;
	}
	return host_probe_main(&user, STDOUT_FILENO);
}

int
main(int argc, char **argv)
{
	struct daemon_options options = {.ready_fd = -1};
	bool probe = false;
	int status;

	if (argc > 2 && strcmp(argv[1], "--role") == 0)
		return run_role(argc, argv);
	if (io_hold_standard() < 0)
		return 1;
	status = parse_options(argc, argv, &options, &probe);
	if (status != 0)
		return status;
	return probe ? print_probe(&options) : daemon_main(&options);
}
