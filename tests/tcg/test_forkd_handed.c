/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What forkd takes and hands out as descriptors: device state, leases of
 * snapshots, consoles.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libfork/snapshot.h>

#include "lib/forkd_test.h"
#include "lib/guest_vm.h"

TestSuite(
    forkd_handed, .init = forkd_setup, .fini = forkd_teardown, .timeout = 600);

Test(forkd_handed, device_state_is_saved_to_a_descriptor_and_taken_from_one)
{
	struct control_client *client;
	struct lf_error error;
	char *path = guest_path("saved");
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	struct control_fds fds = {.send = &fd, .send_count = 1};
	unsigned id;

	forkd_start(NULL);
	client = forkd_connect();
	id = forkd_create(guest_bootless("a"));
	cr_assert_eq(control_client_call(client, "save-devstate",
			 forkd_domain_with(id, "fd", json_integer(0)), &fds,
			 NULL, 300000, NULL, &error),
	    0, "%s", error.message);
	cr_assert_gt(lseek(fd, 0, SEEK_END), 1000);
	cr_assert_eq(control_client_call(client, "fork-vm",
			 json_pack("{s:s, s:i, s:i}", "domain", "a", "devstate",
			     0, "count", 2),
			 &fds, NULL, 300000, NULL, &error),
	    0, "%s", error.message);
	/* Cut, it is refused, and no fork is left of it. */
	cr_assert_eq(ftruncate(fd, 1000), 0);
	cr_assert_lt(control_client_call(client, "fork-vm",
			 json_pack("{s:s, s:i}", "domain", "a", "devstate", 0),
			 &fds, NULL, 300000, NULL, &error),
	    0);
	cr_assert_eq(forkd_directories(), 3);
	control_client_free(client);
	json_decref(forkd_call(
	    "destroy", forkd_domain_with(id, "recursive", json_true())));
	forkd_check_empty();
	close(fd);
	free(path);
}

/* Sends one end of a connection along; the call has to succeed. */
static void
lease(unsigned id, int theirs)
{
	struct control_client *client = forkd_connect();
	struct control_fds fds = {.send = &theirs, .send_count = 1};
	struct lf_error error;
	int rc;

	rc = control_client_call(client, "lease-snapshot",
	    forkd_domain_with(id, "fd", json_integer(0)), &fds, NULL, 300000,
	    NULL, &error);
	cr_assert_eq(rc, 0, "%s", error.message);
	control_client_free(client);
}

/* What a snapshot is leased by: the end of the connection that is ours. */
static int
leased(unsigned id, struct lf_snapshot **ret_snapshot)
{
	struct lf_error error;
	int sv[2], rc;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	lease(id, sv[1]);
	close(sv[1]);
	rc = lf_snapshot_receive(sv[0], ret_snapshot, &error);
	cr_assert_eq(rc, 0, "%s", error.message);
	return sv[0];
}

Test(forkd_handed, a_leased_snapshot_is_held_as_long_as_the_connection_lives)
{
	struct lf_snapshot *snapshot;
	char held[96];
	json_t *info, *holder;
	unsigned id;
	int sock;

	forkd_start(NULL);
	id = forkd_create(guest_bootless("a"));
	forkd_do("freeze", id);
	sock = leased(id, &snapshot);
	cr_assert_eq(lf_snapshot_vcpus(snapshot), 1);
	cr_assert_gt(lf_snapshot_memory_bytes(snapshot), 0);
	snprintf(held, sizeof(held),
	    "('a'): its snapshot is held by process %d; end it first",
	    (int)getpid());
	forkd_refuses("unpause", forkd_domain(id), -EBUSY, held);
	strcat(held, ", or destroy all with --recursive");
	forkd_refuses("destroy", forkd_domain(id), -EBUSY, held);
	info = forkd_call("info", forkd_domain(id));
	holder = json_array_get(json_object_get(info, "holders"), 0);
	cr_assert_eq(json_integer_value(json_object_get(holder, "process")),
	    (json_int_t)getpid());
	json_decref(info);
	lf_snapshot_unref(snapshot);
	/* From this moment on: nobody waits until it is noticed. */
	close(sock);
	forkd_do("unpause", id);
	forkd_wait_state(id, "running");
	forkd_refuses("lease-snapshot",
	    forkd_domain_with(id, "fd", json_integer(0)), -EINVAL,
	    "descriptor");
	forkd_do("freeze", id);
	close(leased(id, &snapshot));
	lf_snapshot_unref(snapshot);
	forkd_do("destroy", id);
	forkd_check_empty();
}

Test(forkd_handed, a_recursive_destroy_leaves_a_lease_what_it_has)
{
	struct lf_snapshot *snapshot;
	unsigned id, fork;
	int sock;

	forkd_start(NULL);
	id = forkd_create(guest_bootless("a"));
	forkd_do("freeze", id);
	fork = forkd_fork(id);
	sock = leased(id, &snapshot);
	forkd_refuses("destroy", forkd_domain(id), -EBUSY, "held by 1 fork");
	forkd_do("destroy", fork);
	forkd_refuses(
	    "destroy", forkd_domain(id), -EBUSY, "is held by process");
	json_decref(forkd_call(
	    "destroy", forkd_domain_with(id, "recursive", json_true())));
	forkd_check_empty();
	cr_assert_eq(lf_snapshot_vcpus(snapshot), 1);
	lf_snapshot_unref(snapshot);
	close(sock);
}

Test(forkd_handed, the_console_is_handed_out_as_a_descriptor)
{
	struct lf_domain_config *config = guest_bootless("a");
	struct control_client *client;
	struct lf_error error;
	int received[2] = {-1, -1}, waited;
	struct control_fds fds = {.received = received, .received_max = 2};
	char text[64];
	ssize_t n = -1;

	forkd_start(NULL);
	config->serial.type = LF_SERIAL_PTY;
	lf_domain_config_set(&config->serial.path, NULL, NULL);
	forkd_create(config);
	client = forkd_connect();
	cr_assert_eq(control_client_call(client, "console", forkd_domain(1),
			 &fds, NULL, 300000, NULL, &error),
	    0, "%s", error.message);
	cr_assert_eq(fds.received_count, 1);
	for (waited = 0; n <= 0 && waited < 3000; waited++) {
		n = read(received[0], text, sizeof(text));
		usleep(20000);
	}
	cr_assert_gt(n, 0);
	close(received[0]);
	control_client_free(client);
}
