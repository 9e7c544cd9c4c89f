/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libnyx.so: what afl-fuzz -X loads, with libfork behind it. afl-fuzz calls
 * these functions in its own process: no pipe and no second process lies
 * between it and the fork. The target is a directory (nyx_options.h); the names
 * and types below are those that AFL++ 4.04 looks up (include/forkserver.h).
 *
 * A function that fails says why in a line on standard error, as there is no
 * other way to afl-fuzz, which then gives up.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/fuzz.h>

#include "base/error.h"
#include "base/sys.h"
#include "xlfork/fuzz_options.h"
#include "xlfork/nyx_options.h"
#include "xlfork/report.h"

#define EXPORT __attribute__((visibility("default")))

/* What nyx_exec() returns, in AFL++'s order. */
enum nyx_result {
	NYX_NORMAL,
	NYX_CRASH,
	NYX_ASAN,
	NYX_TIMEOUT,
	NYX_INVALID_WRITE,
	NYX_ERROR,
	NYX_IO_ERROR,
	NYX_ABORT,
};

/* What afl-fuzz holds as its "process". */
struct nyx {
	struct nyx_options words;
	struct fuzz_setup setup;
	struct lf_fuzz *fuzz;
	struct lf_fuzz_outcome outcome;
	uint8_t *input; /* owned; as large as the target's buffer */
	size_t input_len;
	unsigned timeout_ms, wanted_timeout_ms;
};

void *nyx_new(const char *sharedir, const char *workdir, uint32_t cpu_id,
    uint32_t input_buffer_size, bool input_buffer_write_protection);
void *nyx_new_parent(const char *sharedir, const char *workdir, uint32_t cpu_id,
    uint32_t input_buffer_size, bool input_buffer_write_protection);
void *nyx_new_child(const char *sharedir, const char *workdir, uint32_t cpu_id,
    uint32_t worker_id);
void nyx_shutdown(void *opaque);
void nyx_option_set_reload_mode(void *opaque, bool enable);
void nyx_option_set_timeout(
    void *opaque, uint8_t timeout_sec, uint32_t timeout_usec);
void nyx_option_apply(void *opaque);
void nyx_set_afl_input(void *opaque, uint8_t *buffer, uint32_t size);
enum nyx_result nyx_exec(void *opaque);
uint8_t *nyx_get_bitmap_buffer(void *opaque);
size_t nyx_get_bitmap_buffer_size(void *opaque);
uint32_t nyx_get_aux_string(void *opaque, uint8_t *buffer, uint32_t size);

static int
open_target(struct nyx *nyx, const char *dir, struct lf_error *error)
{
	struct lf_fuzz_options *options = &nyx->setup.options;
	int rc = nyx_options_read(&nyx->words, dir, error);

	if (rc < 0)
		return rc;
	rc = fuzz_setup_init(&nyx->setup, &nyx->words.call, error);
	if (rc == -COMMAND_EUSAGE)
		return error_prefix(error, rc, "'%s'", nyx->words.path);
	if (rc < 0)
		return rc;
	if (options->coverage == LF_FUZZ_COVERAGE_DEFAULT)
		options->coverage = LF_FUZZ_COVERAGE_SHARED;
	options->timeout_ms = nyx->timeout_ms;
	rc = fuzz_setup_open(&nyx->setup, &nyx->words.call, &nyx->fuzz, error);
	if (rc < 0)
		return rc;
	nyx->input = sys.malloc(lf_fuzz_input_max(nyx->fuzz));
	return nyx->input != NULL ? 0 : error_nomem(error);
}

EXPORT void *
nyx_new(const char *sharedir, const char *workdir, uint32_t cpu_id,
    uint32_t input_buffer_size, bool input_buffer_write_protection)
{
	struct nyx *nyx = sys.calloc(1, sizeof(*nyx));
	struct lf_error error;

	(void)workdir;
	(void)cpu_id; /* afl-fuzz has bound itself */
	(void)input_buffer_size;
	(void)input_buffer_write_protection;
	if (nyx == NULL)
		return NULL;
	nyx->setup = (struct fuzz_setup)FUZZ_SETUP_NONE;
	/* afl-fuzz interrupts nothing: the limit is ours to keep. */
	nyx->timeout_ms = nyx->wanted_timeout_ms = 1000;
	if (open_target(nyx, sharedir, &error) < 0) {
		report("%s", error.message);
		nyx_shutdown(nyx);
		return NULL;
	}
	return nyx;
}

EXPORT void *
nyx_new_parent(const char *sharedir, const char *workdir, uint32_t cpu_id,
    uint32_t input_buffer_size, bool input_buffer_write_protection)
{
	return nyx_new(sharedir, workdir, cpu_id, input_buffer_size,
	    input_buffer_write_protection);
}

EXPORT void *
nyx_new_child(const char *sharedir, const char *workdir, uint32_t cpu_id,
    uint32_t worker_id)
{
	(void)worker_id;
	return nyx_new(sharedir, workdir, cpu_id, 0, false);
}

EXPORT void
nyx_shutdown(void *opaque)
{
	struct nyx *nyx = opaque;

	if (nyx == NULL)
		return;
	lf_fuzz_close(nyx->fuzz);
	fuzz_setup_done(&nyx->setup);
	nyx_options_done(&nyx->words);
	free(nyx->input);
	free(nyx);
}

EXPORT void
nyx_option_set_reload_mode(void *opaque, bool enable)
{
	(void)opaque;
	(void)enable; /* every run begins anew */
}

EXPORT void
nyx_option_set_timeout(void *opaque, uint8_t timeout_sec, uint32_t timeout_usec)
{
	struct nyx *nyx = opaque;

	nyx->wanted_timeout_ms = timeout_sec * 1000U + timeout_usec / 1000;
}

EXPORT void
nyx_option_apply(void *opaque)
{
	struct nyx *nyx = opaque;
	struct lf_error error;

	if (nyx->wanted_timeout_ms == nyx->timeout_ms)
		return;
	if (lf_fuzz_set_timeout(nyx->fuzz, nyx->wanted_timeout_ms, &error) < 0)
		report("%s", error.message);
	nyx->timeout_ms = nyx->wanted_timeout_ms;
}

/* What does not fit into the target's buffer is cut off. */
EXPORT void
nyx_set_afl_input(void *opaque, uint8_t *buffer, uint32_t size)
{
	struct nyx *nyx = opaque;
	size_t max = lf_fuzz_input_max(nyx->fuzz);

	nyx->input_len = size < max ? size : max;
	memcpy(nyx->input, buffer, nyx->input_len);
}

EXPORT enum nyx_result
nyx_exec(void *opaque)
{
	struct nyx *nyx = opaque;
	struct lf_error error;

	if (lf_fuzz_run(nyx->fuzz, nyx->input, nyx->input_len, &nyx->outcome,
		&error) < 0) {
		report("%s", error.message);
		return NYX_ERROR;
	}
	switch (nyx->outcome.result) {
	case LF_FUZZ_CRASH:
		return NYX_CRASH;
	case LF_FUZZ_HANG:
		return NYX_TIMEOUT;
	default:
		return NYX_NORMAL;
	}
}

EXPORT uint8_t *
nyx_get_bitmap_buffer(void *opaque)
{
	size_t bytes;

	return lf_fuzz_map(((struct nyx *)opaque)->fuzz, &bytes);
}

EXPORT size_t
nyx_get_bitmap_buffer_size(void *opaque)
{
	size_t bytes;

	lf_fuzz_map(((struct nyx *)opaque)->fuzz, &bytes);
	return bytes;
}

/* Why the last run ended: afl-fuzz writes it beside a crash. */
EXPORT uint32_t
nyx_get_aux_string(void *opaque, uint8_t *buffer, uint32_t size)
{
	struct nyx *nyx = opaque;
	size_t len = strlen(nyx->outcome.what);

	if (len > size)
		len = size;
	memcpy(buffer, nyx->outcome.what, len);
	return (uint32_t)len;
}
