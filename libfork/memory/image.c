/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * RAM images: counted references to files, and a sorted list of delta runs.
 */
#include "memory/image.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/sys.h"
#include "memory/map.h"

struct ram_file {
	unsigned refs; /* atomic */
	int fd;        /* owned */
	uint64_t size;
	uint8_t *bytes; /* atomic: the read-only mapping, or NULL */
};

/* --- files --- */

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
	cleanup_free char *buf = sys.malloc(RAM_RUN_BYTES);

	if (buf == NULL)
		return error_nomem(error);
	while (offset < end) {
		size_t len = end - offset < RAM_RUN_BYTES
				 ? (size_t)(end - offset)
				 : RAM_RUN_BYTES;
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

/* --- images --- */

int
ram_image_new(struct ram_image **ret, struct lf_error *error)
{
	struct ram_image *image = sys.calloc(1, sizeof(*image));

	if (image == NULL)
		return error_nomem(error);
	image->refs = 1;
	*ret = image;
	return 0;
}

struct ram_image *
ram_image_ref(struct ram_image *image)
{
	__atomic_add_fetch(&image->refs, 1, __ATOMIC_RELAXED);
	return image;
}

void
ram_image_unref(struct ram_image *image)
{
	uint32_t i;

	if (image == NULL ||
	    __atomic_sub_fetch(&image->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (i = 0; i < image->file_count; i++)
		ram_file_unref(image->files[i]);
	ram_file_unref(image->delta);
	free(image->blocks);
	free(image->runs);
	free(image);
}

int
ram_image_add_file(
    struct ram_image *image, struct ram_file *file, struct lf_error *error)
{
	if (image->file_count >= RAM_FILES_MAX)
		return error_set(error, EINVAL,
		    "a RAM image of more than %d files", RAM_FILES_MAX);
	image->files[image->file_count] = ram_file_ref(file);
	return (int)image->file_count++;
}

static bool
inside_file(const struct ram_image *image, uint32_t file, uint64_t offset,
    uint64_t length)
{
	uint64_t size;

	if (file >= image->file_count)
		return false;
	size = image->files[file]->size;
	return offset <= size && length <= size - offset;
}

int
ram_image_add_block(struct ram_image *image, const struct ram_block *block,
    struct lf_error *error)
{
	struct ram_block *blocks;

	if (!inside_file(image, block->file, block->offset, block->length))
		return error_set(error, EINVAL,
		    "RAM block '%s' (0x%" PRIx64 "+0x%" PRIx64
		    ") lies outside of file %" PRIu32,
		    block->idstr, block->offset, block->length, block->file);
	if (ram_image_find_block(image, block->idstr) != NULL)
		return error_set(
		    error, EINVAL, "two RAM blocks '%s'", block->idstr);
	if (image->block_count >= RAM_BLOCKS_MAX)
		return error_set(error, EINVAL,
		    "a RAM image of more than %d blocks", RAM_BLOCKS_MAX);
	blocks = sys.realloc(
	    image->blocks, (image->block_count + 1) * sizeof(*blocks));
	if (blocks == NULL)
		return error_nomem(error);
	blocks[image->block_count++] = *block;
	image->blocks = blocks;
	return 0;
}

const struct ram_block *
ram_image_find_block(const struct ram_image *image, const char *idstr)
{
	uint32_t i;

	for (i = 0; i < image->block_count; i++)
		if (strcmp(image->blocks[i].idstr, idstr) == 0)
			return &image->blocks[i];
	return NULL;
}

static int
compare_runs(const void *a, const void *b)
{
	const struct ram_run *x = a, *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

static int
check_run(const struct ram_image *image, const struct ram_file *delta,
    const struct ram_run *run, const struct ram_run *before,
    struct lf_error *error)
{
	bool bad = run->length == 0 ||
		   ((run->offset | run->length | run->at) % PAGE_BYTES) != 0 ||
		   !inside_file(image, run->file, run->offset, run->length) ||
		   run->at > delta->size || run->length > delta->size - run->at;

	if (!bad && before != NULL && before->file == run->file)
		bad = run->offset - before->offset < before->length;
	if (bad)
		return error_set(error, EINVAL,
		    "delta run 0x%" PRIx64 "+0x%" PRIx64 " of file %" PRIu32
		    " is empty, out of bounds or overlaps another",
		    run->offset, run->length, run->file);
	return 0;
}

int
ram_image_set_delta(struct ram_image *image, struct ram_file *delta,
    const struct ram_run *runs, size_t count, struct lf_error *error)
{
	cleanup_free struct ram_run *copy = NULL;
	size_t i;

	if (image->delta != NULL)
		return error_set(error, EINVAL, "a RAM image has one delta");
	if (count == 0)
		return 0;
	copy = sys.malloc(count * sizeof(*copy));
	if (copy == NULL)
		return error_nomem(error);
	memcpy(copy, runs, count * sizeof(*copy));
	qsort(copy, count, sizeof(*copy), compare_runs);
	for (i = 0; i < count; i++) {
		int rc = check_run(
		    image, delta, &copy[i], i > 0 ? &copy[i - 1] : NULL, error);

		if (rc < 0)
			return rc;
	}
	image->delta = ram_file_ref(delta);
	image->runs = take_ptr(copy);
	image->run_count = count;
	return 0;
}

size_t
ram_image_find_run(
    const struct ram_image *image, uint32_t file, uint64_t offset)
{
	size_t low = 0, high = image->run_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct ram_run *run = &image->runs[middle];

		if (run->file < file ||
		    (run->file == file && run->offset + run->length <= offset))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int
read_all(int fd, uint64_t offset, char *buf, size_t len, struct lf_error *error)
{
	while (len > 0) {
		ssize_t n = sys.pread(fd, buf, len, (off_t)offset);

		if (n <= 0)
			return error_sys(error, n < 0 ? errno : EIO,
			    "memory: cannot read at 0x%" PRIx64, offset);
		buf += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int
ram_image_read(const struct ram_image *image, uint32_t file, uint64_t offset,
    void *buf, size_t len, struct lf_error *error)
{
	size_t next;
	char *p = buf;

	if (!inside_file(image, file, offset, len))
		return error_set(error, EINVAL,
		    "0x%zx bytes at 0x%" PRIx64 " are not all in file %" PRIu32
		    " of the RAM image",
		    len, offset, file);
	next = ram_image_find_run(image, file, offset);
	while (len > 0) {
		const struct ram_run *run =
		    next < image->run_count && image->runs[next].file == file
			? &image->runs[next]
			: NULL;
		uint64_t at = offset;
		int fd = image->files[file]->fd;
		size_t here = len;
		int rc;

		if (run != NULL && offset >= run->offset) {
			uint64_t into = offset - run->offset;

			fd = image->delta->fd;
			at = run->at + into;
			if (here > run->length - into)
				here = (size_t)(run->length - into);
			next++;
		} else if (run != NULL && here > run->offset - offset) {
			here = (size_t)(run->offset - offset);
		}
		rc = read_all(fd, at, p, here, error);
		if (rc < 0)
			return rc;
		p += here;
		len -= here;
		offset += here;
	}
	return 0;
}
