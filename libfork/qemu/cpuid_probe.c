/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The probe guest's firmware image and its records (cpuid_guest.S).
 */
#include "qemu/cpuid_probe.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/sys.h"
#include "qemu/program.h"

#define IMAGE_BYTES        (64 * 1024)
#define RESET_VECTOR       0xfff0

#define CPUID_RECORD_BYTES (1 + 6 * 4)
#define MSR_RECORD_BYTES   (1 + 3 * 4)

extern const uint8_t cpuid_guest_begin[] __attribute__((visibility("hidden")));
extern const uint32_t cpuid_guest_bytes __attribute__((visibility("hidden")));

/* ljmp $0xf000, $0x0000 */
static const uint8_t reset_code[] = {0xea, 0x00, 0x00, 0x00, 0xf0};

static int
write_at(int fd, const void *bytes, size_t len, off_t at)
{
	ssize_t n = sys.pwrite(fd, bytes, len, at);

	return n < 0 ? -errno : (size_t)n == len ? 0 : -EIO;
}

static int
make_image(int *ret_fd, struct lf_error *error)
{
	cleanup_close int fd = sys.memfd_create("cpu-probe", MFD_CLOEXEC);
	int rc = 0;

	if (fd < 0 || sys.ftruncate(fd, IMAGE_BYTES) < 0)
		rc = -errno;
	if (rc == 0)
		rc = write_at(fd, cpuid_guest_begin, cpuid_guest_bytes, 0);
	if (rc == 0)
		rc = write_at(fd, reset_code, sizeof(reset_code), RESET_VECTOR);
	if (rc < 0)
		return error_sys(error, -rc, "cannot make the probe guest");
	*ret_fd = take_fd(&fd);
	return 0;
}

static uint32_t
number_at(const uint8_t *bytes, unsigned n)
{
	const uint8_t *b = bytes + 1 + 4 * n;

	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
	       (uint32_t)b[3] << 24;
}

/*
 * Leaves whose answer depends on ECX; KVM has to know. Topology leaves answer
 * for any subleaf, so they end with the first of type 0 (SDM: CPUID 0bh).
 */
static bool
has_subleaves(uint32_t function)
{
	static const uint32_t indexed[] = {0x4, 0x7, 0xb, 0xd, 0xf, 0x10, 0x12,
	    0x14, 0x17, 0x18, 0x1d, 0x1e, 0x1f, 0x8000001d};
	size_t i;

	for (i = 0; i < sizeof(indexed) / sizeof(indexed[0]); i++)
		if (indexed[i] == function)
			return true;
	return false;
}

static bool
is_behind_topology(const struct cpu_cpuid *cpuid, uint32_t function)
{
	const struct cpu_cpuid_entry *last;

	if ((function != 0xb && function != 0x1f) || cpuid->count == 0)
		return false;
	last = &cpuid->entry[cpuid->count - 1];
	return last->function == function && (last->ecx >> 8 & 0xff) == 0;
}

static int
take_cpuid(
    struct cpu_cpuid *cpuid, const uint8_t *record, struct lf_error *error)
{
	struct cpu_cpuid_entry entry = {
	    .function = number_at(record, 0),
	    .index = number_at(record, 1),
	    .eax = number_at(record, 2),
	    .ebx = number_at(record, 3),
	    .ecx = number_at(record, 4),
	    .edx = number_at(record, 5),
	};

	if (is_behind_topology(cpuid, entry.function))
		return 0;
	if (has_subleaves(entry.function))
		entry.flags = CPU_CPUID_INDEXED;
	if (cpuid->count == CPU_CPUID_MAX)
		return error_set(error, EBADMSG,
		    "probe guest: more than %d CPUID leaves", CPU_CPUID_MAX);
	cpuid->entry[cpuid->count++] = entry;
	return 0;
}

static int
take_msr(
    struct cpuid_probe *probe, const uint8_t *record, struct lf_error *error)
{
	if (probe->msr_count == sizeof(probe->msrs) / sizeof(probe->msrs[0]))
		return error_set(error, EBADMSG,
		    "probe guest: more than %u MSRs", probe->msr_count);
	probe->msrs[probe->msr_count++] = (struct cpu_msr){
	    .index = number_at(record, 0),
	    .value = number_at(record, 1) | (uint64_t)number_at(record, 2)
						<< 32,
	};
	return 0;
}

int
cpuid_probe_parse(const void *bytes, size_t len, struct cpuid_probe *ret_probe,
    struct lf_error *error)
{
	const uint8_t *at = bytes, *end = at + len;
	int rc = 0;

	ret_probe->cpuid.count = 0;
	ret_probe->msr_count = 0;
	while (at < end && rc == 0) {
		size_t left = (size_t)(end - at);

		switch (*at) {
		case 'C':
			if (left < CPUID_RECORD_BYTES)
				return 0;
			rc = take_cpuid(&ret_probe->cpuid, at, error);
			at += CPUID_RECORD_BYTES;
			break;
		case 'M':
			if (left < MSR_RECORD_BYTES)
				return 0;
			rc = take_msr(ret_probe, at, error);
			at += MSR_RECORD_BYTES;
			break;
		case 'E':
			if (ret_probe->cpuid.count > 0)
				return 1;
			__attribute__((fallthrough));
		default:
			return error_set(error, EBADMSG,
			    "probe guest: byte 0x%02x at %zu is no record", *at,
			    len - left);
		}
	}
	return rc;
}

/* More of what the guest tells; 0 at its end. */
static ssize_t
listen_to(const struct lf_qemu_process *process, int64_t deadline, void *buf,
    size_t size, struct lf_error *error)
{
	struct pollfd pollfd = {.fd = process->qmp_fd, .events = POLLIN};
	int64_t left = deadline - clock_ms();
	ssize_t n;

	n = sys.poll(&pollfd, 1, left > 0 ? (int)left : 0);
	if (n < 0)
		return errno == EINTR ? -EAGAIN
				      : error_sys(error, errno, "probe guest");
	if (n == 0)
		return error_set(error, ETIMEDOUT,
		    "probe guest: it has not told all in time");
	n = sys.read(process->qmp_fd, buf, size);
	return n >= 0 ? n : error_sys(error, errno, "probe guest");
}

static int
hear_out(const struct lf_qemu_process *process, int timeout_ms,
    struct cpuid_probe *ret_probe, struct lf_error *error)
{
	int64_t deadline = clock_ms() + timeout_ms;
	cleanup_free uint8_t *told = sys.malloc(CPUID_PROBE_BYTES_MAX);
	size_t len = 0;
	int rc = 0;

	if (told == NULL)
		return error_nomem(error);
	while (rc == 0) {
		ssize_t n = listen_to(process, deadline, told + len,
		    CPUID_PROBE_BYTES_MAX - len, error);

		if (n == -EAGAIN)
			continue;
		if (n < 0)
			return (int)n;
		if (n == 0) {
			char words[512];

			program_last_words(
			    process->log_fd, words, sizeof(words));
			return error_set(error, EIO,
			    "probe guest: QEMU ended before it told all: %s",
			    words[0] != '\0' ? words : "it said nothing");
		}
		len += (size_t)n;
		rc = cpuid_probe_parse(told, len, ret_probe, error);
	}
	return rc < 0 ? rc : 0;
}

int
cpuid_probe_run(struct lf_launcher *launcher,
    const struct lf_domain_config *config, int timeout_ms,
    struct cpuid_probe *ret_probe, struct lf_error *error)
{
	struct lf_qemu_process process = LF_QEMU_PROCESS_NONE;
	struct lf_qemu_request request = {.config = config, .probe = true};
	cleanup_close int image = -1;
	int rc;

	rc = make_image(&image, error);
	if (rc < 0)
		return rc;
	request.ram_fd = image;
	rc = launcher->start_qemu(launcher, &request, &process, error);
	if (rc < 0)
		return error_prefix(error, rc, "probe guest");
	rc = hear_out(&process, timeout_ms, ret_probe, error);
	launcher->end_qemu(launcher, &process);
	return rc;
}

/* --- what is known --- */

struct cpuid_known {
	unsigned refs; /* atomic */
	pthread_mutex_t lock;
	bool there;
	struct cpuid_probe probe;
};

struct cpuid_known *
cpuid_known_new(void)
{
	struct cpuid_known *known = sys.calloc(1, sizeof(*known));

	if (known == NULL)
		return NULL;
	known->refs = 1;
	pthread_mutex_init(&known->lock, NULL);
	return known;
}

struct cpuid_known *
cpuid_known_ref(struct cpuid_known *known)
{
	__atomic_add_fetch(&known->refs, 1, __ATOMIC_RELAXED);
	return known;
}

void
cpuid_known_unref(struct cpuid_known *known)
{
	if (known == NULL ||
	    __atomic_sub_fetch(&known->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	pthread_mutex_destroy(&known->lock);
	free(known);
}

int
cpuid_known_get(struct cpuid_known *known, struct lf_launcher *launcher,
    const struct lf_domain_config *config, int timeout_ms,
    struct cpuid_probe *ret_probe, struct lf_error *error)
{
	bool there = false;
	int rc;

	if (known != NULL) {
		pthread_mutex_lock(&known->lock);
		there = known->there;
		if (there)
			*ret_probe = known->probe;
		pthread_mutex_unlock(&known->lock);
	}
	if (there)
		return 0;
	rc = cpuid_probe_run(launcher, config, timeout_ms, ret_probe, error);
	if (rc == 0 && known != NULL) {
		pthread_mutex_lock(&known->lock);
		known->there = true;
		known->probe = *ret_probe;
		pthread_mutex_unlock(&known->lock);
	}
	return rc;
}
