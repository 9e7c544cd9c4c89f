/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu/devstate: real streams (tests/data/streams) as a tree, and compared.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libfork/devstate.h>

#include "base/cleanup.h"
#include "lib/count.h"
#include "lib/fault.h"
#include "lib/sample.h"

static struct lf_devstate *
open_sample(const char *name)
{
	cleanup_close int fd = sample_fd(name);
	struct lf_devstate *devstate = NULL;
	struct lf_error error;

	cr_assert_eq(
	    lf_devstate_open(fd, &devstate, &error), 0, "%s", error.message);
	return devstate;
}

struct seen {
	unsigned sections;
	const char *section;
	unsigned covered; /* sections whose leaves cover them without a gap */
	const uint8_t *next;
	uint64_t eip, mce_bank0, count_of_regs;
	bool subsection, segment;
};

static int
look(void *opaque, const struct lf_devstate_item *item)
{
	struct seen *seen = opaque;

	if (item->kind == LF_DEVSTATE_SECTION) {
		seen->sections++;
		seen->section = item->name;
		seen->next = item->bytes;
		cr_assert_eq(item->depth, 0);
		return 0;
	}
	if (item->kind == LF_DEVSTATE_SUBSECTION) {
		/* mark, counted name, version */
		seen->next += 1 + 1 + strlen(item->name) + 4;
		if (strcmp(item->name, "cpu/tsc_khz") == 0)
			seen->subsection = true;
		return 0;
	}
	if (item->kind == LF_DEVSTATE_STRUCT) {
		if (strcmp(item->name, "env.segs") == 0 && item->index == 5)
			seen->segment = true;
		return 0;
	}
	cr_assert_eq(item->bytes, seen->next, "a gap before %s.%s",
	    seen->section, item->name);
	seen->next += item->len;
	if (strcmp(item->name, "env.eip") == 0)
		seen->eip = lf_devstate_integer(item, 0);
	if (strcmp(item->name, "env.regs") == 0)
		seen->count_of_regs = item->count;
	return 0;
}

Test(devstate, the_tree_covers_every_byte_of_every_section)
{
	struct lf_devstate *devstate = open_sample("kvm-hyperv");
	struct seen seen = {0};

	cr_assert_eq(lf_devstate_walk(devstate, look, &seen), 0);
	cr_assert_gt(seen.sections, 25);
	cr_assert_eq(seen.eip, 0xffffffff81a17a0b);
	cr_assert_eq(seen.count_of_regs, 16);
	cr_assert(seen.subsection);
	cr_assert(seen.segment);
	cr_assert_str_eq(lf_devstate_machine(devstate), "pc-i440fx-7.2");
	lf_devstate_free(devstate);
}

struct differences {
	int count;
	char first[256];
	bool subsection_only_in_b;
};

static int
differ(void *opaque, const char *path, const struct lf_devstate_item *a,
    const struct lf_devstate_item *b)
{
	struct differences *d = opaque;

	if (d->count++ == 0)
		snprintf(d->first, sizeof(d->first), "%s", path);
	if (a == NULL && b != NULL &&
	    strcmp(path, "cpu[0].cpu/msr_hyperv_time.env.msr_hv_tsc") == 0)
		d->subsection_only_in_b = true;
	return 0;
}

Test(devstate, a_file_equals_itself_and_differs_from_others_by_path)
{
	struct lf_devstate *smp = open_sample("kvm-smp2");
	struct lf_devstate *hyperv = open_sample("kvm-hyperv");
	struct differences d = {0};
	struct lf_error error;

	cr_assert_eq(lf_devstate_compare(smp, smp, differ, &d, &error), 0);
	cr_assert_eq(d.count, 0);
	cr_assert_gt(lf_devstate_compare(smp, hyperv, differ, &d, &error), 10);
	cr_assert_str_eq(d.first, "timer[0].cpu_ticks_offset");
	cr_assert(d.subsection_only_in_b);
	lf_devstate_free(smp);
	lf_devstate_free(hyperv);
}

Test(devstate, what_is_no_device_state_is_refused)
{
	cleanup_close int empty = memfd_create("empty", MFD_CLOEXEC);
	cleanup_close int text = memfd_create("text", MFD_CLOEXEC);
	cleanup_close int directory = open("/", O_RDONLY | O_CLOEXEC);
	struct lf_devstate *devstate;
	struct lf_error error;

	cr_assert_eq(lf_devstate_open(empty, &devstate, &error), -EBADMSG);
	cr_assert_str_eq(error.message, "the device state is empty");
	cr_assert_eq(write(text, "hello\n", 6), 6);
	cr_assert_eq(lf_devstate_open(text, &devstate, &error), -EBADMSG);
	cr_assert_eq(lf_devstate_open(directory, &devstate, &error), -EINVAL);
	cr_assert_str_eq(error.message, "the device state is no regular file");
	cr_assert_eq(ftruncate(text, LF_DEVSTATE_BYTES_MAX + 1L), 0);
	cr_assert_eq(lf_devstate_open(text, &devstate, &error), -EFBIG);
	cr_assert_str_eq(error.message,
	    "the device state has 536870913 bytes, at most 536870912 are "
	    "read");
}

/* --- fuzz: a file that is cut or changed --- */

static const char *const samples[] = {"tcg-max", "kvm-smp2", "kvm-hyperv"};
#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

/* A copy of a stream that can be changed, in a file as forkd and users have. */
struct copy {
	int fd;
	uint8_t *bytes; /* the file, mapped */
	size_t len;
};

static void
copy_make(const char *name, struct copy *copy)
{
	cleanup_close int fd = sample_fd(name);
	off_t len = lseek(fd, 0, SEEK_END);

	copy->len = (size_t)len;
	copy->fd = memfd_create(name, MFD_CLOEXEC);
	cr_assert_eq(ftruncate(copy->fd, len), 0);
	copy->bytes = mmap(
	    NULL, copy->len, PROT_READ | PROT_WRITE, MAP_SHARED, copy->fd, 0);
	cr_assert_neq(copy->bytes, MAP_FAILED);
	cr_assert_eq(pread(fd, copy->bytes, copy->len, 0), len);
}

static void
copy_done(struct copy *copy)
{
	munmap(copy->bytes, copy->len);
	close(copy->fd);
}

/* Uses every value: what points outside of the file is found by a sanitizer. */
static int
add_up(void *opaque, const struct lf_devstate_item *item)
{
	uint64_t *sum = opaque;
	size_t i;

	*sum += strlen(item->name) + strlen(item->type);
	for (i = 0; i < item->len; i++)
		*sum += item->bytes[i];
	for (i = 0; i < item->count && item->kind == LF_DEVSTATE_INTEGERS; i++)
		*sum += lf_devstate_integer(item, (uint32_t)i);
	return 0;
}

/* 0 when the file was refused, with a message. */
static int
survives(int fd, const struct lf_devstate *whole)
{
	struct lf_devstate *devstate = NULL;
	struct differences d = {0};
	struct lf_error error;
	uint64_t sum = 0;

	lf_error_clear(&error);
	if (lf_devstate_open(fd, &devstate, &error) < 0) {
		cr_assert_null(devstate);
		cr_assert_neq(error.message[0], '\0');
		cr_assert_null(strchr(error.message, '\n'));
		return 0;
	}
	lf_devstate_walk(devstate, add_up, &sum);
	cr_assert_geq(
	    lf_devstate_compare(whole, devstate, differ, &d, &error), 0);
	lf_devstate_free(devstate);
	return 1;
}

/* Every length in the soak, else some, and those near the end. */
Test(devstate, a_file_cut_anywhere_is_refused, .timeout = 3000)
{
	size_t step = test_count(331, 1), i, len;

	for (i = 0; i < SAMPLES; i++) {
		struct copy copy;

		copy_make(samples[i], &copy);
		for (len = copy.len - 1; len > 0;
		     len -= len > copy.len - 16 || len < step ? 1 : step) {
			cr_assert_eq(ftruncate(copy.fd, (off_t)len), 0);
			cr_assert_eq(survives(copy.fd, NULL), 0,
			    "%s cut to %zu bytes", samples[i], len);
		}
		copy_done(&copy);
	}
}

/*
 * Every byte in the soak, else some, and all of the head. What is still a
 * device state can be walked, and compared with what it was.
 */
Test(devstate, any_changed_byte_is_survived, .timeout = 7200)
{
	static const uint8_t masks[] = {0x01, 0x80, 0xff};
	size_t step = test_count(613, 1), i, at;
	unsigned long round = 0, accepted = 0, refused = 0;

	for (i = 0; i < SAMPLES; i++) {
		struct lf_devstate *whole = open_sample(samples[i]);
		struct copy copy;

		copy_make(samples[i], &copy);
		for (at = 0; at < copy.len; at += at < 64 ? 1 : step) {
			uint8_t mask = masks[round++ % sizeof(masks)];

			copy.bytes[at] ^= mask;
			if (survives(copy.fd, whole))
				accepted++;
			else
				refused++;
			copy.bytes[at] ^= mask;
		}
		copy_done(&copy);
		lf_devstate_free(whole);
	}
	/* Values are accepted, structure is not. */
	cr_assert_gt(accepted, 0);
	cr_assert_gt(refused, 0);
}

Test(devstate, every_failed_call_is_an_error_and_leaks_nothing)
{
	cleanup_close int fd = sample_fd("tcg-max");

	FAULT_LOOP(fault)
	{
		struct lf_devstate *devstate = NULL;
		struct differences d = {0};
		struct lf_error error;
		int rc;

		lf_error_clear(&error);
		rc = lf_devstate_open(fd, &devstate, &error);
		if (rc == 0)
			rc = lf_devstate_compare(
			    devstate, devstate, differ, &d, &error);
		lf_devstate_free(devstate);
		fault_end(&fault);
		if (fault.hit) {
			cr_assert_lt(
			    rc, 0, "call %lu (%s)", fault.round, fault.name);
			cr_assert_neq(error.message[0], '\0');
		} else {
			cr_assert_eq(rc, 0);
		}
		/* One round takes a while: every call of the first 200. */
		if (fault.round > 200)
			break;
	}
}
