/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * domain/qemu_refuse: parents that cannot be forked, by what their QEMU would
 * say (such devices need hardware or other programs), and by their vCPUs.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "domain/qemu_refuse.h"
#include "qemu/devfile.h"

static struct lf_error error;

/* Answers each line that comes with the next string. */
struct server {
	int sock;
	const char *const *says;
	pthread_t thread;
};

static void *
server_main(void *opaque)
{
	struct server *server = opaque;
	const char *const *says = server->says;
	char buf[4096];

	for (; *says != NULL; says++)
		if (send(server->sock, *says, strlen(*says), MSG_NOSIGNAL) <=
			0 ||
		    read(server->sock, buf, sizeof(buf)) <= 0)
			break;
	close(server->sock);
	return NULL;
}

Test(qemu_refuse, devices_that_cannot_be_forked_are_named)
{
	static const char none[] = "{\"return\": []}\n";
	static const char plain[] = "{\"return\": \"bus: main\\r\\n"
				    "  dev: virtio-net-pci, id \\\"n\\\"\"}\n";
	static const char net[] = "{\"return\": \"n: type=user\"}\n";
	static const char sev[] = "{\"return\": {\"enabled\": true}}\n";
	static const char no_sev[] =
	    "{\"error\": {\"desc\": \"SEV is not enabled\"}}\n";
	static const struct {
		const char *memory, *sev, *qtree, *network;
		const char *message; /* NULL: it can be forked */
	} cases[] = {
	    {none, no_sev, plain, net, NULL},
	    {"{\"return\": [{\"type\": \"virtio-mem\", \"data\": {}}]}\n",
		no_sev, plain, net, "a memory device (virtio-mem)"},
	    {none, sev, plain, net, "encrypted (SEV)"},
	    {none, no_sev, "{\"return\": \"dev: vhost-user-fs-pci\"}\n", net,
		"a device (vhost-user)"},
	    {none, no_sev, "{\"return\": \"dev: vfio-pci, id\"}\n", net,
		"a device (vfio-)"},
	    {none, no_sev, plain, "{\"return\": \"n: type=vhost-user\"}\n",
		"a device (vhost-user)"},
	    {none, no_sev, "{\"return\": 5}\n", net, "is not text"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *const says[] = {"{\"QMP\": {}}\n",
		    "{\"return\": {}}\n", cases[i].memory, cases[i].sev,
		    cases[i].qtree, cases[i].network, NULL};
		struct server server = {.says = says};
		struct qemu_domain domain = {0};
		int sv[2], rc;

		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
		server.sock = sv[1];
		pthread_create(&server.thread, NULL, server_main, &server);
		cr_assert_eq(qmp_new(sv[0], 2000, &domain.qmp, &error), 0, "%s",
		    error.message);
		rc = qemu_refuse_devices(&domain, &error);
		if (cases[i].message == NULL) {
			cr_assert_eq(rc, 0, "%s", error.message);
		} else {
			cr_assert_lt(rc, 0, "case %zu", i);
			cr_assert_not_null(
			    strstr(error.message, cases[i].message),
			    "case %zu: %s", i, error.message);
		}
		qmp_free(domain.qmp);
		pthread_join(server.thread, NULL);
	}
}

Test(qemu_refuse, nested_guests_and_system_management_mode)
{
	static const struct {
		uint32_t bit;
		int rc;
		const char *message;
	} cases[] = {
	    {1U << 21, -ENOTSUP, "vCPU 1 runs a nested guest"},
	    {1U << 19, -EAGAIN, "vCPU 1 is in system management mode"},
	};
	const struct stream_section *cpu;
	const struct vmdesc_node *hflags;
	struct devfile *file = NULL;
	char path[4096];
	uint8_t *at;
	int fd;

	snprintf(path, sizeof(path), "%s/tests/data/streams/kvm-smp2.stream",
	    getenv("top_srcdir"));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(
	    devfile_read(fd, NULL, &file, &error), 0, "%s", error.message);
	close(fd);
	cr_assert_eq(qemu_refuse_vcpus(file->stream, &error), 0);
	cpu = stream_find(file->stream, "cpu", 1);
	hflags = vmdesc_find(
	    cpu->device->nodes, cpu->device->node_count, "env.hflags", -1);
	at = (uint8_t *)file->data + cpu->offset + hflags->offset;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* Big-endian; both bits are in the second byte. */
		at[1] ^= (uint8_t)(cases[i].bit >> 16);
		cr_assert_eq(
		    qemu_refuse_vcpus(file->stream, &error), cases[i].rc);
		cr_assert_not_null(strstr(error.message, cases[i].message),
		    "%s", error.message);
		at[1] ^= (uint8_t)(cases[i].bit >> 16);
	}
	devfile_free(file);
}
