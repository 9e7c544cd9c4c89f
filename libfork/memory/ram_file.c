/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of guest memory, by counted references.
 */
#include "memory/ram_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/sys.h"
#include "memory/map.h"

/* A file is copied in pieces of this many bytes. */
#define PIECE_BYTES (64UL << 10)

struct ram_file {
	unsigned refs; /* atomic */
	int fd;        /* owned */
	uint64_t size;
	uint8_t *bytes; /* atomic: the read-only mapping, or NULL */
};

struct ram_file *
ram_file_ref(struct ram_file *file)
{
	__atomic_add_fetch(&file->refs, 1, __ATOMIC_RELAXED);
	return file;
}

void
ram_file_unref(struct ram_file *file)
{
	if (file == NULL ||
	    __atomic_sub_fetch(&file->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (file->bytes != NULL)
		munmap(file->bytes, file->size);
	close_fd(file->fd);
	free(file);
}

unsigned
ram_file_refs(const struct ram_file *file)
{
	return __atomic_load_n(&file->refs, __ATOMIC_RELAXED);
}

int
ram_file_fd(const struct ram_file *file)
{
	return file->fd;
}

uint64_t
ram_file_size(const struct ram_file *file)
{
	return file->size;
}

int
ram_file_map(struct ram_file *file, struct lf_error *error)
{
	uint8_t *none = NULL, *bytes;

	if (ram_file_bytes(file) != NULL)
		return 0;
	bytes = sys.mmap(NULL, file->size, PROT_READ,
	    MAP_SHARED | MAP_NORESERVE, file->fd, 0);
	if (bytes == MAP_FAILED)
		return error_sys(error, errno,
		    "memory: cannot map a file of %" PRIu64 " MiB",
		    file->size >> 20);
	/* Another thread may have been faster; then its mapping is used. */
	if (!__atomic_compare_exchange_n(&file->bytes, &none, bytes, false,
		__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		munmap(bytes, file->size);
	return 0;
}

const uint8_t *
ram_file_bytes(const struct ram_file *file)
{
	return __atomic_load_n(&file->bytes, __ATOMIC_ACQUIRE);
}

/* Takes `fd` over, also when it fails. */
static int
file_wrap(int fd, uint64_t size, struct ram_file **ret, struct lf_error *error)
{
	struct ram_file *file = sys.malloc(sizeof(*file));

	if (file == NULL) {
		close_fd(fd);
		return error_nomem(error);
	}
	*file = (struct ram_file){.refs = 1, .fd = fd, .size = size};
	*ret = file;
	return 0;
}

int
ram_file_new(const char *name, uint64_t size, struct ram_file **ret,
    struct lf_error *error)
{
	cleanup_close int fd = -1;

	fd = sys.memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return error_sys(
		    error, errno, "memory '%s': cannot make a memfd", name);
	if (sys.ftruncate(fd, (off_t)size) < 0)
		return error_sys(error, errno,
		    "memory '%s': cannot make it %" PRIu64 " bytes long", name,
		    size);
	if (sys.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return error_sys(
		    error, errno, "memory '%s': cannot seal its size", name);
	return file_wrap(take_fd(&fd), size, ret, error);
}

int
ram_file_write(const struct ram_file *file, uint64_t offset, const void *bytes,
    uint64_t len, struct lf_error *error)
{
	const char *from = bytes;

	while (len > 0) {
		ssize_t n = sys.pwrite(file->fd, from, len, (off_t)offset);

		if (n <= 0)
			return error_sys(error, n < 0 ? errno : EIO,
			    "memory: cannot write %" PRIu64
			    " bytes of a snapshot",
			    len);
		from += n;
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

static int
copy_bytes(const struct ram_file *to, int from, uint64_t offset, uint64_t end,
    const char *name, struct lf_error *error)
{
	cleanup_free char *buf = sys.malloc(PIECE_BYTES);

	if (buf == NULL)
		return error_nomem(error);
	while (offset < end) {
		size_t len = end - offset < PIECE_BYTES ? (size_t)(end - offset)
							: PIECE_BYTES;
		ssize_t n = sys.pread(from, buf, len, (off_t)offset);
		int rc;

		if (n <= 0)
			return error_sys(error, n < 0 ? errno : EIO,
			    "memory '%s': cannot read at 0x%" PRIx64, name,
			    offset);
		rc = ram_file_write(to, offset, buf, (uint64_t)n, error);
		if (rc < 0)
			return error_prefix(error, rc, "memory '%s'", name);
		offset += (uint64_t)n;
	}
	return 0;
}

int
ram_file_copy_data(const struct ram_file *to, int from, uint64_t size,
    const char *name, struct lf_error *error)
{
	off_t at = 0;

	while ((uint64_t)at < size) {
		off_t data = sys.lseek(from, at, SEEK_DATA);
		off_t hole;
		int rc;

		if (data < 0 && errno == ENXIO)
			break; /* only a hole is left */
		if (data < 0 || (hole = sys.lseek(from, data, SEEK_HOLE)) < 0)
			return error_sys(error, errno,
			    "memory '%s': cannot look for its data", name);
		if ((uint64_t)data >= size)
			break;
		if ((uint64_t)hole > size)
			hole = (off_t)size;
		rc = copy_bytes(
		    to, from, (uint64_t)data, (uint64_t)hole, name, error);
		if (rc < 0)
			return rc;
		at = hole;
	}
	return 0;
}

int
ram_file_seal(const struct ram_file *file, struct lf_error *error)
{
	if (sys.fcntl(file->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0)
		return error_sys(
		    error, errno, "memory: cannot seal it against writing");
	return 0;
}

static int
copy_file(const char *name, int fd, uint64_t size, struct ram_file **ret,
    struct lf_error *error)
{
	struct ram_file *copy;
	int rc;

	log_info("memory '%s': others may write it, so its %" PRIu64
		 " MiB are copied",
	    name, size >> 20);
	rc = ram_file_new(name, size, &copy, error);
	if (rc < 0)
		return rc;
	rc = ram_file_copy_data(copy, fd, size, name, error);
	if (rc == 0)
		rc = ram_file_seal(copy, error);
	if (rc < 0) {
		ram_file_unref(copy);
		return rc;
	}
	*ret = copy;
	return 0;
}

int
ram_file_adopt(const char *name, int fd, uint64_t size, bool trusted,
    struct ram_file **ret, struct lf_error *error)
{
	struct stat st;
	int seals, own;

	if (size == 0 || size % PAGE_BYTES != 0)
		return error_set(error, EINVAL,
		    "memory '%s': %" PRIu64 " bytes are not whole pages", name,
		    size);
	if (sys.fstat(fd, &st) < 0)
		return error_sys(
		    error, errno, "memory '%s': cannot ask its size", name);
	if (!S_ISREG(st.st_mode))
		return error_set(
		    error, EINVAL, "memory '%s' is not a regular file", name);
	if ((uint64_t)st.st_size < size)
		return error_set(error, EINVAL,
		    "memory '%s' has %jd bytes, %" PRIu64 " are wanted", name,
		    (intmax_t)st.st_size, size);

	/* Not every file can have seals: EINVAL just says that. */
	seals = sys.fcntl(fd, F_GET_SEALS, 0);
	if (!trusted &&
	    (seals < 0 || !(seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) ||
		!(seals & F_SEAL_SHRINK)))
		return copy_file(name, fd, size, ret, error);

	own = sys.fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return error_sys(error, errno,
		    "memory '%s': cannot duplicate its descriptor", name);
	return file_wrap(own, size, ret, error);
}
