/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A symbol table from a file: tells the format by the content and hands the
 * bytes to its reader.
 */
#include "vmi/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "base/writer.h"

/* A text of more bytes than this is no symbol table. */
#define TEXT_MAX (512U << 20)

static const uint8_t elf_magic[] = {0x7f, 'E', 'L', 'F'};

static bool
is_elf(const uint8_t *bytes, size_t len)
{
	return len >= sizeof(elf_magic) &&
	       memcmp(bytes, elf_magic, sizeof(elf_magic)) == 0;
}

/* Everything up to the end, however long the file says it is: /proc/kallsyms
 * says 0. */
static int
read_all(int fd, bool seekable, const char *name, struct writer *w,
    struct lf_error *error)
{
	cleanup_free uint8_t *chunk = sys.malloc(1 << 16);
	ssize_t n;

	if (chunk == NULL)
		return error_nomem(error);
	for (;;) {
		n = seekable ? sys.pread(fd, chunk, 1 << 16, w->len)
			     : sys.read(fd, chunk, 1 << 16);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(
			    error, errno, "cannot read symbols '%s'", name);
		if (n == 0)
			return writer_status(w, error);
		if (w->len + n > TEXT_MAX)
			return error_set(error, EFBIG,
			    "symbols '%s': more than %u bytes", name, TEXT_MAX);
		writer_bytes(w, chunk, n);
		/* A failed writer does not move on, and nor would the loop. */
		if (writer_status(w, NULL) < 0)
			return writer_status(w, error);
	}
}

static int
add_all(struct lf_symbols *symbols, int fd, const char *name,
    struct lf_error *error)
{
	struct elf_source source = {.fd = -1, .name = name};
	uint8_t start[sizeof(elf_magic)];
	struct writer w;
	struct stat st;
	ssize_t n;
	int rc;

	if (sys.fstat(fd, &st) < 0)
		return error_sys(
		    error, errno, "cannot look at symbols '%s'", name);
	if (S_ISREG(st.st_mode)) {
		n = sys.pread(fd, start, sizeof(start), 0);
		if (n < 0)
			return error_sys(
			    error, errno, "cannot read symbols '%s'", name);
		if (is_elf(start, n)) {
			source.fd = fd;
			source.size = st.st_size;
			return symbols_add_elf(symbols, &source, error);
		}
	}
	writer_init(&w);
	rc = read_all(fd, S_ISREG(st.st_mode), name, &w, error);
	if (rc == 0 && is_elf(w.data, w.len)) {
		source.data = w.data;
		source.size = w.len;
		rc = symbols_add_elf(symbols, &source, error);
	} else if (rc == 0) {
		rc = symbols_add_text(
		    symbols, (const char *)w.data, w.len, error);
		if (rc < 0)
			error_prefix(error, rc, "symbols '%s'", name);
	}
	writer_done(&w);
	return rc;
}

int
lf_symbols_read(int fd, const char *name, uint64_t slide,
    struct lf_symbols **ret_symbols, struct lf_error *error)
{
	struct lf_symbols *symbols = symbols_new(name, error);
	int rc;

	if (symbols == NULL)
		return -ENOMEM;
	rc = add_all(symbols, fd, name, error);
	if (rc == 0)
		rc = symbols_finish(symbols, slide, error);
	if (rc < 0) {
		lf_symbols_free(symbols);
		return rc;
	}
	*ret_symbols = symbols;
	return 0;
}

int
lf_symbols_open(const char *path, uint64_t slide,
    struct lf_symbols **ret_symbols, struct lf_error *error)
{
	cleanup_close int fd = sys.open(path, O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return error_sys(
		    error, errno, "cannot open symbols '%s'", path);
	return lf_symbols_read(fd, path, slide, ret_symbols, error);
}
