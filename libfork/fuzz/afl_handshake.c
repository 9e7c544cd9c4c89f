/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Introductions between a fork server and AFL++. The old one is a word of
 * flags with the map's size in it, answered when there is something to agree
 * on; the new one (4.20 on) is a version, its complement as the answer, then
 * flags and a word for each that has a parameter. AFL++ of any version
 * understands the old one (AFL++ include/types.h, src/afl-forkserver.c).
 */
#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "base/sys.h"
#include "fuzz/afl.h"

#define OLD_ENABLED        0x80000001U
#define OLD_MAP_SIZE       0x40000000U
#define OLD_DICTIONARY     0x10000000U
#define OLD_SHARED_INPUT   0x01000000U
#define OLD_ERROR          0xf800008fU
#define OLD_MAP_MAX        0x800000U /* 23 bits, above bit 0, less one */
#define OLD_DICTIONARY_MAX 0xffffffU

#define NEW_VERSION        0x41464c01U /* "AFL" 1 */
#define NEW_MAP_SIZE       0x00000001U
#define NEW_SHARED_INPUT   0x00000002U
#define NEW_DICTIONARY     0x00000800U

#define ERROR_MAP_SIZE     1U
#define ERROR_OTHER        255U /* none that AFL++ has words for */

int
afl_read_word(int fd, uint32_t *ret_word, struct lf_error *error)
{
	uint8_t *at = (uint8_t *)ret_word;
	size_t left = sizeof(*ret_word);

	while (left > 0) {
		ssize_t n = sys.read(fd, at, left);

		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(error, errno,
			    "cannot read from AFL++'s control pipe");
		at += n;
		left -= (size_t)n;
	}
	return 1;
}

int
afl_write(int fd, const void *bytes, size_t len, struct lf_error *error)
{
	int rc = io_write_all(fd, bytes, len);

	return rc < 0 ? error_sys(
			    error, -rc, "cannot write to AFL++'s status pipe")
		      : 0;
}

static int
write_word(int fd, uint32_t word, struct lf_error *error)
{
	return afl_write(fd, &word, sizeof(word), error);
}

static int
read_answer(int fd, uint32_t *ret_word, struct lf_error *error)
{
	int rc = afl_read_word(fd, ret_word, error);

	if (rc == 0)
		return error_set(
		    error, EPIPE, "AFL++ went away during the introduction");
	return rc < 0 ? rc : 0;
}

static int
write_dictionary(int fd, const struct afl_terms *terms, struct lf_error *error)
{
	int rc = write_word(fd, (uint32_t)terms->dictionary_len, error);

	return rc < 0 ? rc
		      : afl_write(fd, terms->dictionary, terms->dictionary_len,
			    error);
}

static bool
has_dictionary(const struct afl_terms *terms)
{
	/* AFL++ refuses shorter ones. */
	return terms->dictionary != NULL && terms->dictionary_len >= 2 &&
	       terms->dictionary_len <= OLD_DICTIONARY_MAX;
}

static int
old_handshake(int control_fd, int status_fd, struct afl_terms *terms,
    struct lf_error *error)
{
	uint32_t word = OLD_ENABLED;
	int rc;

	if (terms->map_bytes > 1)
		word |= OLD_MAP_SIZE | (uint32_t)(terms->map_bytes - 1) << 1;
	if (terms->shared_input)
		word |= OLD_SHARED_INPUT;
	if (has_dictionary(terms))
		word |= OLD_DICTIONARY;
	rc = write_word(status_fd, word, error);
	if (rc < 0 || (word & (OLD_SHARED_INPUT | OLD_DICTIONARY)) == 0)
		return rc;
	rc = read_answer(control_fd, &word, error);
	if (rc < 0)
		return rc;
	if ((word & OLD_ENABLED) != OLD_ENABLED)
		return error_set(error, EPROTO,
		    "AFL++ answers 0x%08x to the introduction, which is no "
		    "answer",
		    word);
	terms->shared_input = (word & OLD_SHARED_INPUT) != 0;
	return (word & OLD_DICTIONARY) != 0
		   ? write_dictionary(status_fd, terms, error)
		   : 0;
}

static int
new_handshake(int control_fd, int status_fd, struct afl_terms *terms,
    struct lf_error *error)
{
	uint32_t options = 0, word;
	int rc = write_word(status_fd, NEW_VERSION, error);

	if (rc == 0)
		rc = read_answer(control_fd, &word, error);
	if (rc < 0)
		return rc;
	if (word != ~NEW_VERSION)
		return error_set(error, EPROTO,
		    "this AFL++ does not know the newer introduction (4.20) "
		    "that a map of %zu bytes needs",
		    terms->map_bytes);
	if (terms->map_bytes > 0)
		options |= NEW_MAP_SIZE;
	if (terms->shared_input)
		options |= NEW_SHARED_INPUT;
	if (has_dictionary(terms))
		options |= NEW_DICTIONARY;
	rc = write_word(status_fd, options, error);
	if (rc == 0 && (options & NEW_MAP_SIZE))
		rc = write_word(status_fd, (uint32_t)terms->map_bytes, error);
	if (rc == 0 && (options & NEW_DICTIONARY))
		rc = write_dictionary(status_fd, terms, error);
	return rc == 0 ? write_word(status_fd, NEW_VERSION, error) : rc;
}

enum afl_version
afl_handshake_version(const struct afl_terms *terms)
{
	return terms->map_bytes > OLD_MAP_MAX ? AFL_VERSION_NEW
					      : AFL_VERSION_OLD;
}

int
afl_handshake(int control_fd, int status_fd, enum afl_version version,
    struct afl_terms *terms, struct lf_error *error)
{
	return version == AFL_VERSION_NEW
		   ? new_handshake(control_fd, status_fd, terms, error)
		   : old_handshake(control_fd, status_fd, terms, error);
}

uint32_t
afl_handshake_refusal(int code)
{
	return OLD_ERROR | (code == -ENOSPC ? ERROR_MAP_SIZE : ERROR_OTHER)
			       << 8;
}
