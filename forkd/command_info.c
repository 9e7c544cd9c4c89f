/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The commands that look at one domain closely: info, console.
 */
#include "forkd/command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/daemon.h"
#include "forkd/launch_files.h"
#include "forkd/life.h"
#include "forkd/peer.h"
#include "forkd/role.h"
#include "forkd/rundir.h"

/* A domain process answers this from what it has, even when it is busy. */
#define DESCRIBE_MS 5000
/* This waits until other commands are done. */
#define REGISTERS_MS 120000

/* One line "NAME: N kB" of /proc/PID/status, in bytes; 0 without. */
static json_int_t
status_bytes(const char *status, const char *name)
{
	const char *line = strstr(status, name);
	unsigned long long kib;

	if (line == NULL || sscanf(line + strlen(name), " %llu", &kib) != 1)
		return 0;
	return (json_int_t)(kib * 1024);
}

/* What of its guest's memory is the domain's alone, as the kernel counts. */
static void
add_memory(const struct domain *domain, json_t *info)
{
	cleanup_close int fd = -1;
	char path[64], status[4096];
	ssize_t n;

	if (domain->qemu.pid <= 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/status", domain->qemu.pid);
	fd = sys.open(path, O_RDONLY | O_CLOEXEC, 0);
	n = fd >= 0 ? sys.read(fd, status, sizeof(status) - 1) : -1;
	if (n <= 0)
		return;
	status[n] = '\0';
	json_object_set_new(info, "memory-private",
	    json_integer(status_bytes(status, "\nRssAnon:")));
	json_object_set_new(info, "memory-shared",
	    json_integer(status_bytes(status, "\nRssShmem:")));
}

static const char *const serial_names[] = {
    [LF_SERIAL_NONE] = "none",
    [LF_SERIAL_PTY] = "pty",
    [LF_SERIAL_FILE] = "file",
    [LF_SERIAL_SOCKET] = "socket",
};

/* Where the console is: a pty is QEMU's choice, the rest the configuration's.
 */
static json_t *
console_value(const struct domain *domain, const json_t *described)
{
	const struct lf_serial *serial = &domain->config->serial;
	const char *pty = json_string_value(json_object_get(described, "pty"));

	return json_pack("{s:s, s:s*}", "type", serial_names[serial->type],
	    "path", serial->type == LF_SERIAL_PTY ? pty : serial->path);
}

static void
add_holders(const struct domain *domain, const json_t *described, json_t *info)
{
	json_t *holders = json_array();
	const struct domain *other;
	const json_t *pid;
	size_t i;

	for (other = domain->registry->first; other != NULL;
	     other = other->next)
		if (registry_is_holder(other, domain))
			json_array_append_new(holders,
			    json_pack("{s:I, s:s}", "id", (json_int_t)other->id,
				"name", other->config->name));
	json_array_foreach(json_object_get(described, "leases"), i, pid)
	    json_array_append_new(holders, json_pack("{s:O}", "process", pid));
	json_object_set_new(info, "holders", holders);
}

static json_t *
paths_value(const struct file_list *list)
{
	json_t *paths = json_array();
	size_t i;

	for (i = 0; i < list->count; i++)
		json_array_append_new(paths, control_make_text(list->path[i]));
	return paths;
}

/* What the domain process says and info just tells. */
static const char *const copied[] = {"forwards", "log", "access", "registers"};

static json_t *
info_value(const struct domain *domain, const json_t *described)
{
	const struct lf_domain_config *config = domain->config;
	cleanup_free char *vnc = rundir_path("%s/vnc/socket", domain->dir);
	json_t *info = registry_row(domain);
	size_t i;

	if (info == NULL || vnc == NULL)
		return info;
	json_object_set_new(info, "accelerator",
	    json_string(lf_accelerator_name(config->accelerator)));
	json_object_set_new(info, "accelerator-reason",
	    control_make_text(domain->accelerator_reason));
	json_object_set_new(
	    info, "machine", json_string(lf_machine_name(config->machine)));
	if (domain->device_model)
		json_object_set_new(
		    info, "console", console_value(domain, described));
	if (config->graphics.type == LF_GRAPHICS_VNC && domain->device_model)
		json_object_set_new(info, "vnc",
		    json_string(config->graphics.socket != NULL
				    ? config->graphics.socket
				    : vnc));
	json_object_set_new(info, "overlays", paths_value(&domain->overlays));
	add_holders(domain, described, info);
	add_memory(domain, info);
	for (i = 0; i < sizeof(copied) / sizeof(copied[0]); i++) {
		json_t *fact = json_object_get(described, copied[i]);

		if (fact != NULL)
			json_object_set(info, copied[i], fact);
	}
	return info;
}

/* A question to the domain process that its end may answer, too. */
struct look {
	struct daemon *daemon;
	struct peer_request *request;
	unsigned id;
	json_t *described; /* while the registers are waited for */
};

static void
finish_info(struct look *look, const json_t *described)
{
	struct domain *domain =
	    registry_find_id(&look->daemon->registry, look->id);
	struct lf_error gone;

	if (domain != NULL)
		peer_return(
		    look->request, info_value(domain, described), NULL, 0);
	else {
		error_set(&gone, ENOENT, "domain %u was destroyed", look->id);
		peer_fail(look->request, &gone);
	}
	json_decref(look->described);
	free(look);
}

static void
on_registers(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct look *look = opaque;
	struct lf_error why;

	(void)answer;
	if (error == NULL) {
		json_object_update(look->described, result);
		finish_info(look, look->described);
		return;
	}
	why = *error;
	error_prefix(&why, why.code, "registers of domain %u", look->id);
	peer_fail(look->request, &why);
	json_decref(look->described);
	free(look);
}

static void
on_described(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct look *look = opaque;
	struct domain *domain =
	    registry_find_id(&look->daemon->registry, look->id);

	(void)answer;
	/* Of a crashed domain they are known already. */
	if (error == NULL && domain != NULL &&
	    json_is_true(peer_request_argument(look->request, "registers")) &&
	    json_object_get(result, "registers") == NULL) {
		look->described = json_copy(result);
		life_call(domain, ROLE_REGISTERS, NULL, REGISTERS_MS,
		    on_registers, look);
		return;
	}
	/* What it does not say is left out; the rest is known here. */
	finish_info(look, error == NULL ? result : NULL);
}

/* Asks the domain process, or answers at once without one. */
static void
look_closely(struct client *client, struct domain *domain,
    struct peer_request *request, peer_done *done)
{
	struct look *look = sys.calloc(1, sizeof(*look));
	struct lf_error error;

	if (look == NULL) {
		error_nomem(&error);
		peer_fail(request, &error);
		return;
	}
	*look = (struct look){client->daemon, request, domain->id, NULL};
	life_call(domain, ROLE_DESCRIBE, NULL, DESCRIBE_MS, done, look);
}

void
command_info(
    struct client *client, struct domain *domain, struct peer_request *request)
{
	look_closely(client, domain, request, on_described);
}

/* --- console --- */

/* The path comes from QEMU: nothing but a pseudo terminal is opened. */
static int
open_pty(const char *path, int *ret_fd, struct lf_error *error)
{
	static const char prefix[] = "/dev/pts/";
	size_t len = sizeof(prefix) - 1;

	if (path == NULL)
		return error_set(error, ENOENT,
		    "QEMU does not say which pty is the console");
	if (strncmp(path, prefix, len) != 0 || path[len] == '\0' ||
	    path[len + strspn(path + len, "0123456789")] != '\0')
		return error_set(
		    error, EBADMSG, "'%.64s' is not a pseudo terminal", path);
	*ret_fd = sys.open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
	if (*ret_fd < 0)
		return error_sys(
		    error, errno, "cannot open console '%s'", path);
	return 0;
}

static int
open_socket(const char *path, int *ret_fd, struct lf_error *error)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	cleanup_close int sock = -1;

	if (strlen(path) >= sizeof(addr.sun_path))
		return error_set(
		    error, ENAMETOOLONG, "socket path '%s' is too long", path);
	strcpy(addr.sun_path, path);
	sock =
	    sys.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return error_sys(error, errno, "cannot make a socket");
	if (sys.connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return error_sys(error, errno == EAGAIN ? EBUSY : errno,
		    "cannot connect to console '%s'", path);
	*ret_fd = take_fd(&sock);
	return 0;
}

static int
open_console(const struct domain *domain, const json_t *described, int *ret_fd,
    struct lf_error *error)
{
	const struct lf_serial *serial = &domain->config->serial;

	switch (serial->type) {
	case LF_SERIAL_PTY:
		return open_pty(
		    json_string_value(json_object_get(described, "pty")),
		    ret_fd, error);
	case LF_SERIAL_FILE:
		return launch_open(
		    "console", serial->path, O_RDONLY, ret_fd, NULL, error);
	case LF_SERIAL_SOCKET:
		return open_socket(serial->path, ret_fd, error);
	case LF_SERIAL_NONE:
		break;
	}
	return error_set(error, ENOENT,
	    "domain %u ('%s') has no console: its serial port is 'none'",
	    domain->id, domain->config->name);
}

static void
on_console_described(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct look *look = opaque;
	struct domain *domain =
	    registry_find_id(&look->daemon->registry, look->id);
	cleanup_close int fd = -1;
	struct lf_error why;
	json_t *value;
	int rc;

	(void)answer;
	if (domain == NULL)
		rc = error_set(
		    &why, ENOENT, "domain %u was destroyed", look->id);
	else if (error != NULL) {
		why = *error;
		rc = why.code;
	} else
		rc = open_console(domain, result, &fd, &why);
	if (rc < 0)
		peer_fail(look->request, &why);
	else {
		value = console_value(domain, result);
		json_object_set_new(value, "fd", json_integer(0));
		peer_return(look->request, value, &fd, 1);
	}
	free(look);
}

void
command_console(
    struct client *client, struct domain *domain, struct peer_request *request)
{
	struct lf_error error;

	if (domain->device_model) {
		look_closely(client, domain, request, on_console_described);
		return;
	}
	error_set(&error, EOPNOTSUPP,
	    "domain %u ('%s') has no device model, so no console; 'fork-vm "
	    "--launch-dm late' gives it one",
	    domain->id, domain->config->name);
	peer_fail(request, &error);
}
