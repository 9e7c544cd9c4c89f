/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * AFL++'s target: a word comes, a process id and a status go back. The fork is
 * reset after the status is out, while AFL++ looks at the map and makes up the
 * next input.
 */
#include "fuzz/afl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"

#define ENV_MAP   "__AFL_SHM_ID"
#define ENV_INPUT "__AFL_SHM_FUZZ_ID"

/* What AFL++ is to look at where nothing is counted: a byte is set in it. */
#define EMPTY_MAP_BYTES 4096

/* A status as wait(2) gives: killed by a signal. */
#define STATUS_OK    0
#define STATUS_CRASH SIGSEGV
#define STATUS_HANG  SIGKILL

/* --- shared memory --- */

/* 0: the variable is not set. */
static int
attach(const char *variable, bool writable, uint8_t **ret_memory,
    size_t *ret_bytes, struct lf_error *error)
{
	const char *text = getenv(variable);
	struct shmid_ds facts;
	void *memory;
	char *end;
	long id;

	if (text == NULL)
		return 0;
	errno = 0;
	id = strtol(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || id < 0 || id > INT_MAX)
		return error_set(error, EINVAL,
		    "%s is '%.32s', which is no number of shared memory",
		    variable, text);
	memory = shmctl((int)id, IPC_STAT, &facts) == 0
		     ? shmat((int)id, NULL, writable ? 0 : SHM_RDONLY)
		     : (void *)-1;
	if (memory == (void *)-1)
		return error_sys(error, errno,
		    "cannot attach AFL++'s shared memory %ld (%s)", id,
		    variable);
	*ret_memory = memory;
	*ret_bytes = facts.shm_segsz;
	return 1;
}

/*
 * AFL++ removes its shared memory when it ends; killed, it cannot. It is gone
 * when the control pipe ends, as it would have killed this process first.
 */
static void
remove_orphan(const char *variable)
{
	const char *text = getenv(variable);

	if (text != NULL)
		shmctl(atoi(text), IPC_RMID, NULL);
}

int
lf_afl_connect(struct lf_afl **ret_afl, struct lf_error *error)
{
	struct lf_afl *afl;
	int rc;

	if (getenv(ENV_MAP) == NULL)
		return 0;
	afl = sys.calloc(1, sizeof(*afl));
	if (afl == NULL)
		return error_nomem(error);
	rc = attach(ENV_MAP, true, &afl->map, &afl->map_bytes, error);
	if (rc < 0) {
		lf_afl_free(afl);
		return rc;
	}
	afl->once = fcntl(AFL_CONTROL_FD, F_GETFD) < 0 ||
		    fcntl(AFL_STATUS_FD, F_GETFD) < 0;
	afl->offers_input = !afl->once && getenv(ENV_INPUT) != NULL;
	*ret_afl = afl;
	return 1;
}

void
lf_afl_free(struct lf_afl *afl)
{
	if (afl == NULL)
		return;
	if (afl->map != NULL)
		shmdt(afl->map);
	if (afl->input != NULL)
		shmdt(afl->input);
	free(afl);
}

uint8_t *
lf_afl_map(const struct lf_afl *afl, size_t *ret_bytes)
{
	*ret_bytes = afl->map_bytes;
	return afl->map;
}

void
lf_afl_refuse(struct lf_afl *afl, int code)
{
	const uint32_t word = afl_handshake_refusal(code);

	if (!afl->once && !afl->introduced)
		afl_write(AFL_STATUS_FD, &word, sizeof(word), NULL);
}

/* --- inputs --- */

/* Where inputs come from, and a buffer for those that are files. */
struct source {
	const struct lf_afl *afl;
	const char *path; /* NULL: standard input */
	uint8_t *buffer;  /* NULL: shared memory */
	size_t max;
};

/* AFL++ rewinds the standard input for every run; alone it may be a pipe. */
static int
read_file(struct source *source, size_t *ret_len, struct lf_error *error)
{
	int fd = source->path == NULL
		     ? STDIN_FILENO
		     : sys.open(source->path, O_RDONLY | O_CLOEXEC, 0);
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0)
		return error_sys(
		    error, errno, "cannot open '%s'", source->path);
	while (len < source->max) {
		n = sys.read(fd, source->buffer + len, source->max - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (n < 0)
		error_fill_sys(error, errno, "cannot read the input");
	if (fd != STDIN_FILENO)
		close_fd(fd);
	*ret_len = len;
	return n < 0 ? error->code : 0;
}

/* What does not fit into the target's buffer is cut off, as targets do. */
static int
next_input(struct source *source, const uint8_t **ret_bytes, size_t *ret_len,
    struct lf_error *error)
{
	const struct lf_afl *afl = source->afl;
	uint32_t len;

	if (source->buffer != NULL) {
		*ret_bytes = source->buffer;
		return read_file(source, ret_len, error);
	}
	memcpy(&len, afl->input, sizeof(len));
	if (len > afl->input_bytes - sizeof(len))
		return error_set(error, EPROTO,
		    "AFL++ says that an input has %u bytes, in %zu of shared "
		    "memory",
		    len, afl->input_bytes);
	*ret_bytes = afl->input + sizeof(len);
	*ret_len = len < source->max ? len : source->max;
	return 0;
}

static int
source_init(struct source *source, struct lf_afl *afl, struct lf_fuzz *fuzz,
    bool shared, const char *path, struct lf_error *error)
{
	uint8_t *memory = NULL;
	int rc;

	*source = (struct source){
	    .afl = afl,
	    .path = path,
	    .max = lf_fuzz_input_max(fuzz),
	};
	if (shared) {
		rc =
		    attach(ENV_INPUT, false, &memory, &afl->input_bytes, error);
		if (rc < 0)
			return rc;
		afl->input = memory;
		if (rc == 0 || afl->input_bytes < sizeof(uint32_t))
			return error_set(error, EINVAL,
			    "AFL++'s memory for test cases is too small");
		return 0;
	}
	source->buffer = sys.malloc(source->max);
	return source->buffer != NULL ? 0 : error_nomem(error);
}

/* --- the loop --- */

static uint32_t
status_of(const struct lf_fuzz_outcome *outcome)
{
	switch (outcome->result) {
	case LF_FUZZ_CRASH:
		return STATUS_CRASH;
	case LF_FUZZ_HANG:
		return STATUS_HANG;
	default:
		return STATUS_OK;
	}
}

static int
one_run(struct lf_afl *afl, struct lf_fuzz *fuzz, struct source *source,
    struct lf_error *error)
{
	struct lf_fuzz_outcome outcome;
	const uint8_t *bytes = NULL;
	size_t map_bytes, len = 0;
	pid_t pid = afl_child_pid(&afl->child, error);
	uint32_t word = (uint32_t)pid;
	int rc;

	if (pid <= 0)
		return pid;
	rc = afl_write(AFL_STATUS_FD, &word, sizeof(word), error);
	if (rc == 0)
		rc = next_input(source, &bytes, &len, error);
	if (rc == 0)
		rc = lf_fuzz_run(fuzz, bytes, len, &outcome, error);
	if (rc < 0)
		return rc;
	/* AFL++ takes an empty map for a target without instrumentation. */
	if (lf_fuzz_map(fuzz, &map_bytes) == NULL && afl->map != NULL)
		afl->map[0] = 1;
	/* It is a time-out for AFL++ only when AFL++ has found it to be one. */
	if (outcome.result == LF_FUZZ_HANG)
		afl_child_wait(&afl->child);
	word = status_of(&outcome);
	rc = afl_write(AFL_STATUS_FD, &word, sizeof(word), error);
	return rc == 0 ? lf_fuzz_reset(fuzz, error) : rc;
}

static int
serve(struct lf_afl *afl, struct lf_fuzz *fuzz, struct source *source,
    struct lf_error *error)
{
	for (;;) {
		uint32_t word;
		int rc = afl_read_word(AFL_CONTROL_FD, &word, error);

		if (rc > 0)
			rc = one_run(afl, fuzz, source, error);
		else if (rc == 0)
			return 0;
		if (rc < 0)
			return rc == -EPIPE ? 0 : rc;
	}
}

/* AFL++ wants one run, and no conversation. */
static int
run_once(struct lf_afl *afl, struct lf_fuzz *fuzz, const char *input_path,
    struct lf_error *error)
{
	struct lf_fuzz_outcome outcome;
	struct source source;
	const uint8_t *bytes;
	size_t len;
	int rc = source_init(&source, afl, fuzz, false, input_path, error);

	if (rc == 0)
		rc = next_input(&source, &bytes, &len, error);
	if (rc == 0)
		rc = lf_fuzz_run(fuzz, bytes, len, &outcome, error);
	free(source.buffer);
	if (rc < 0)
		return rc;
	/* It kills this process when it thinks that this takes too long. */
	while (outcome.result == LF_FUZZ_HANG)
		pause();
	return outcome.result == LF_FUZZ_CRASH;
}

int
lf_afl_serve(struct lf_afl *afl, struct lf_fuzz *fuzz, const char *input_path,
    const void *dictionary, size_t dictionary_len, struct lf_error *error)
{
	struct lf_error own;
	struct source source = {.buffer = NULL};
	struct afl_terms terms = {
	    .shared_input = afl->offers_input,
	    .dictionary = dictionary,
	    .dictionary_len = dictionary_len,
	};
	int rc;

	if (error == NULL)
		error = &own;
	if (afl->once)
		return run_once(afl, fuzz, input_path, error);
	signal(SIGPIPE, SIG_IGN);
	if (lf_fuzz_map(fuzz, &terms.map_bytes) == NULL)
		terms.map_bytes = afl->map_bytes < EMPTY_MAP_BYTES
				      ? afl->map_bytes
				      : EMPTY_MAP_BYTES;
	rc = afl_child_start(&afl->child, fuzz, AFL_CONTROL_FD, error);
	afl->introduced = rc == 0;
	if (rc == 0)
		rc = afl_handshake(AFL_CONTROL_FD, AFL_STATUS_FD,
		    afl_handshake_version(&terms), &terms, error);
	if (rc == 0)
		rc = source_init(
		    &source, afl, fuzz, terms.shared_input, input_path, error);
	if (rc == 0)
		rc = serve(afl, fuzz, &source, error);
	if (rc == 0 || rc == -EPIPE) {
		remove_orphan(ENV_MAP);
		remove_orphan(ENV_INPUT);
	}
	afl_child_end(&afl->child);
	free(source.buffer);
	return rc;
}
