/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What only QEMU knows of a domain: which pseudo terminal is its serial port,
 * which ports it chose for forwards, what it said on standard error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "domain/qemu_domain.h"
#include "qemu/program.h"

static void
json_free_p(json_t **value)
{
	json_decref(*value);
}

/* "pty:/dev/pts/3" of the character device behind the serial port. */
static int
add_pty(struct qemu_domain *domain, json_t *facts, struct lf_error *error)
{
	static const char prefix[] = "pty:";
	cleanup(json_free_p) json_t *devices = NULL;
	const json_t *device;
	size_t i;
	int rc;

	rc = qmp_execute(domain->qmp, "query-chardev", NULL, &devices, error);
	if (rc < 0)
		return rc;
	json_array_foreach(devices, i, device)
	{
		const char *label =
		    json_string_value(json_object_get(device, "label"));
		const char *file =
		    json_string_value(json_object_get(device, "filename"));

		if (label != NULL && file != NULL &&
		    strcmp(label, "serial0") == 0 &&
		    strncmp(file, prefix, sizeof(prefix) - 1) == 0)
			json_object_set_new(facts, "pty",
			    json_string(file + sizeof(prefix) - 1));
	}
	return 0;
}

/*
 * One line of `info usernet`, no QMP command says the same:
 * "TCP[HOST_FORWARD]  12  127.0.0.1 40123  10.0.2.15  22  0  0".
 */
static void
add_forward(const char *line, json_t *forwards)
{
	char protocol[8], host[16], guest[16], address[32];
	unsigned host_port, guest_port;

	if (sscanf(line, " %7[A-Z][HOST_FORWARD] %*d %15s %u %15s %u", protocol,
		host, &host_port, guest, &guest_port) != 5 ||
	    host_port > 65535 || guest_port > 65535)
		return;
	snprintf(address, sizeof(address), "%s:%u", host, host_port);
	json_array_append_new(
	    forwards, json_pack("{s:s, s:s, s:i}", "protocol",
			  strcmp(protocol, "UDP") == 0 ? "udp" : "tcp", "host",
			  address, "guest", (int)guest_port));
}

static int
add_forwards(struct qemu_domain *domain, json_t *facts, struct lf_error *error)
{
	cleanup_free char *text = NULL;
	char *line, *rest = NULL;
	json_t *forwards;
	bool wanted = false;
	size_t i;
	int rc;

	for (i = 0; i < domain->config->network_count; i++)
		wanted |= domain->config->networks[i].forward_count > 0;
	if (!wanted)
		return 0;
	rc = qmp_hmp(domain->qmp, "info usernet", &text, error);
	if (rc < 0)
		return rc;
	forwards = json_array();
	for (line = strtok_r(text, "\r\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\r\n", &rest))
		add_forward(line, forwards);
	json_object_set_new(facts, "forwards", forwards);
	return 0;
}

int
qemu_describe(
    struct qemu_domain *domain, json_t **ret_facts, struct lf_error *error)
{
	cleanup(json_free_p) json_t *facts = json_object();
	char words[512];
	int rc;

	if (facts == NULL)
		return error_nomem(error);
	rc = add_pty(domain, facts, error);
	if (rc == 0)
		rc = add_forwards(domain, facts, error);
	if (rc < 0)
		return qemu_explain(domain, rc, error);
	program_last_words(domain->process.log_fd, words, sizeof(words));
	if (words[0] != '\0')
		json_object_set_new(facts, "log", json_string(words));
	*ret_facts = take_ptr(facts);
	return 0;
}
