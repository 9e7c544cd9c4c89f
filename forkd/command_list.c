/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command list. It answers from the registry; only the pages that each
 * domain has of its own are asked for: of the kernel for a domain on QEMU, of
 * the domain process for others.
 */
#include "forkd/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/qemu.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/daemon.h"
#include "forkd/life.h"

/* It waits until other commands are done. */
#define PAGES_MS 120000

#define PAGE_KIB 4

/* One command; its rows are complete when nothing is awaited any more. */
struct listing {
	struct peer_request *request;
	json_t *rows;
	bool short_of_memory; /* some are missing */
	unsigned awaited;
};

/* A domain whose pages are being counted. */
struct count {
	struct listing *listing;
	json_t *row;
};

static void
finish(struct listing *listing)
{
	json_t *result = NULL;

	if (--listing->awaited > 0)
		return;
	if (!listing->short_of_memory)
		result = json_pack("{s:O}", "domains", listing->rows);
	json_decref(listing->rows);
	peer_return(listing->request, result, NULL, 0);
	free(listing);
}

static void
on_counted(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct count *count = opaque;
	json_t *pages = json_object_get(result, "pages");

	(void)answer;
	/* A domain that came to its end meanwhile has none. */
	if (error == NULL && pages != NULL)
		json_object_set(count->row, "own-pages", pages);
	finish(count->listing);
	free(count);
}

static void
ask_process(struct listing *listing, struct domain *domain, json_t *row)
{
	struct count *count = sys.calloc(1, sizeof(*count));

	if (count == NULL)
		return;
	*count = (struct count){listing, row};
	listing->awaited++;
	life_call(domain, ROLE_PAGES, NULL, PAGES_MS, on_counted, count);
}

/*
 * /proc/PID/smaps: of the mappings of guest memory, what is "Anonymous" was
 * written by this QEMU alone (kernel: filesystems/proc).
 */
static bool
count_qemu_pages(pid_t pid, json_int_t *ret_pages)
{
	static const char ram[] = "/memfd:guest memory";
	cleanup_free char *line = NULL;
	bool inside = false, found = false;
	size_t size = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	*ret_pages = 0;
	while (getline(&line, &size, file) > 0) {
		unsigned long long kib;
		uint64_t from, to;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &from, &to) == 2) {
			inside = strstr(line, ram) != NULL;
			found |= inside;
		} else if (inside &&
			   sscanf(line, "Anonymous: %llu kB", &kib) == 1)
			*ret_pages += (json_int_t)(kib / PAGE_KIB);
	}
	fclose(file);
	return found;
}

/* Pages of a domain's own; one that was booted shares nothing. */
static void
add_pages(struct listing *listing, struct domain *domain, json_t *row)
{
	json_int_t pages;

	if (domain->parent == 0 || domain->doomed)
		return;
	if (!domain->device_model)
		ask_process(listing, domain, row);
	else if (domain->qemu.pid > 0 &&
		 count_qemu_pages(domain->qemu.pid, &pages))
		json_object_set_new(row, "own-pages", json_integer(pages));
}

void
command_list(
    struct client *client, struct domain *none, struct peer_request *request)
{
	struct registry *registry = &client->daemon->registry;
	const char *wanted = peer_request_string(request, "domain");
	bool pages = json_is_true(peer_request_argument(request, "pages"));
	struct domain *domain, *only = NULL;
	struct listing *listing;
	struct lf_error error;

	(void)none;
	if (wanted != NULL &&
	    registry_find(registry, wanted, &only, &error) < 0) {
		peer_fail(request, &error);
		return;
	}
	listing = sys.calloc(1, sizeof(*listing));
	if (listing == NULL) {
		error_nomem(&error);
		peer_fail(request, &error);
		return;
	}
	/* Held until all have been asked. */
	*listing = (struct listing){
	    .request = request, .rows = json_array(), .awaited = 1};
	for (domain = registry->first; domain != NULL; domain = domain->next) {
		json_t *row;

		if (only != NULL && only != domain)
			continue;
		row = registry_row(domain);
		if (json_array_append_new(listing->rows, row) < 0)
			listing->short_of_memory = true;
		else if (pages)
			add_pages(listing, domain, row);
	}
	finish(listing);
}
