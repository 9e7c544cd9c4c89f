/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parents for two-phase forks and looks at them.
 */
#include "lab/two_phase.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <libfork/host.h>

#include "domain/backend.h"
#include "domain/kvm.h"
#include "domain/qemu_domain.h"
#include "kvm/device.h"
#include "kvm/vcpu.h"
#include "kvm/vcpu_state.h"
#include "qemu/cpu_translate.h"
#include "qemu/devfile.h"
#include "snapshot/snapshot.h"

#define OVMF_CODE "/usr/share/OVMF/OVMF_CODE_4M.fd"
#define OVMF_VARS "/usr/share/OVMF/OVMF_VARS_4M.fd"

/* In the lab, on a machine that is busy with other things. */
#define BOOT_MS     600000
#define PATIENCE_MS 300000
#define PAGE        4096

#define HYPERV_CPU                                  \
	"host,kvm=off,hv-relaxed,hv-vapic,hv-time," \
	"hv-vpindex,hv-synic,hv-stimer,hv-stimer-direct"

/* Memory that its Linux leaves alone (memmap=), above 4 GiB. */
#define HIGH_GPA UINT64_C(0x170000000)
#define LOW_GPA  UINT64_C(0xe8000)

#define error    two_phase_error
struct lf_error two_phase_error;

/* --- parents --- */

static void
set(char **field, const char *value)
{
	OK(lf_domain_config_set(field, value, &error));
}

static void
add_devices(struct lf_domain_config *config)
{
	cleanup_free char *path = guest_path("disk.raw");
	struct lf_disk *disk = NULL;
	struct lf_network *network = NULL;
	struct lf_forward *forward = NULL;

	guest_shell("truncate -s 8M %s && PATH=$PATH:/sbin mke2fs -q -F %s",
	    path, path);
	OK(lf_domain_config_add_disk(config, &disk, &error));
	set(&disk->path, path);
	OK(lf_domain_config_add_network(config, &network, &error));
	network->restrict_guest = true;
	OK(lf_network_add_forward(network, &forward, &error));
	forward->guest_port = 7;
	config->video = LF_VIDEO_STD;
}

static void
use_ovmf(struct lf_domain_config *config)
{
	cleanup_free char *nvram = guest_path("vars.fd");

	if (access(OVMF_CODE, R_OK) < 0)
		cr_skip_test("there is no OVMF");
	guest_shell("cp %s %s", OVMF_VARS, nvram);
	config->firmware.type = LF_FIRMWARE_PFLASH;
	set(&config->firmware.path, OVMF_CODE);
	set(&config->firmware.nvram, nvram);
}

static struct lf_domain_config *
parent_config(const struct kind *kind)
{
	/* Nothing prints by itself: a fork would stop at the serial port. */
	struct lf_domain_config *config = guest_linux("parent",
	    "iomem=relaxed memmap=1M$0x170000000 xf.mount=/dev/vda:/disk "
	    "xf.run=net,echod,agent");

	config->accelerator = LF_ACCELERATOR_KVM;
	config->machine = kind->machine;
	config->vcpus = kind->vcpus;
	set(&config->cpu, kind->hyperv ? HYPERV_CPU : "host");
	if (kind->large)
		config->memory_bytes = UINT64_C(5) << 30;
	if (kind->ovmf)
		use_ovmf(config);
	add_devices(config);
	return config;
}

uint64_t
progress_page(const char *text, const char *name, unsigned cpu)
{
	char wanted[64];
	const char *at;

	snprintf(wanted, sizeof(wanted), "%s cpu=%u gpa=0x", name, cpu);
	at = strstr(text, wanted);
	cr_assert_not_null(at, "no '%s'", wanted);
	return strtoull(at + strlen(wanted), NULL, 16);
}

static void
find_places(struct parent *parent)
{
	parent->place_count = 0;
	cr_assert_eq(sscanf(console_run(&parent->console, "mem vga"),
			 "%" SCNx64, &parent->video),
	    1);
	/* Behind what is on the screen. */
	parent->places[parent->place_count++] = parent->video + (12 << 20);
	if (parent->kind->large)
		parent->places[parent->place_count++] = HIGH_GPA;
	if (!parent->kind->ovmf)
		parent->places[parent->place_count++] = LOW_GPA;
}

static void
start_counters(struct parent *parent)
{
	char places[128] = "";
	unsigned i;

	for (i = 0; i < parent->place_count; i++)
		snprintf(places + strlen(places), 32, " 0x%" PRIx64,
		    parent->places[i]);
	for (i = parent->kind->vcpus; i-- > 0;) {
		size_t from = parent->console.len;

		console_run(&parent->console,
		    "counter %u%s >/dev/console 2>&1 &", i,
		    i == 0 ? places : "");
		from = console_wait(&parent->console, from, "gpa=0x", BOOT_MS);
		console_wait(&parent->console, from, "\n", BOOT_MS);
		parent->counters[i] =
		    progress_page(parent->console.text, "counter", i);
	}
}

void
parent_boot(struct parent *parent, const struct kind *kind)
{
	*parent = (struct parent){
	    .kind = kind,
	    .config = parent_config(kind),
	};
	OK(lf_domain_create(
	    parent->config, guest_launcher(), &parent->domain, &error));
	console_open(&parent->console, parent->config->serial.path);
	OK(lf_domain_unpause(parent->domain, &error));
	console_wait(&parent->console, 0, "agent> ready", BOOT_MS);
	find_places(parent);
	start_counters(parent);
}

void
parent_end(struct parent *parent)
{
	lf_domain_free(parent->domain);
	console_close(&parent->console);
	lf_domain_config_free(parent->config);
}

/* --- forks --- */

static struct lf_domain *
fork_of(struct lf_snapshot *snapshot, const char *name,
    enum lf_interrupts interrupts)
{
	struct lf_fork_options options;
	struct lf_domain *fork = NULL;

	lf_fork_options_init(&options);
	options.backend = LF_BACKEND_KVM;
	options.launcher = guest_launcher();
	options.name = name;
	options.interrupts = interrupts;
	options.verify_every = 1;
	OK(lf_domain_fork(snapshot, &options, &fork, &error));
	return fork;
}

struct lf_domain *
fork_without(struct lf_snapshot *snapshot, const char *name)
{
	return fork_of(snapshot, name, LF_INTERRUPTS_DEFAULT);
}

struct lf_domain *
fork_with_all_interrupts(struct lf_snapshot *snapshot, const char *name)
{
	return fork_of(snapshot, name, LF_INTERRUPTS_ALL);
}

void
launch_paused(const struct parent *parent, struct lf_domain *fork,
    const char *name, struct console *console)
{
	struct lf_launch_options options = {
	    .launcher = guest_launcher(), .devstate_fd = -1};
	cleanup_free char *path = NULL;

	OK(lf_domain_launch(fork, &options, &error));
	cr_assert_eq(lf_domain_backend(fork), LF_BACKEND_QEMU);
	cr_assert_gt(
	    asprintf(&path, "%s.%s", parent->config->serial.path, name), 0);
	console_open(console, path);
}

void
launch_late(const struct parent *parent, struct lf_domain *fork,
    const char *name, struct console *console)
{
	launch_paused(parent, fork, name, console);
	OK(lf_domain_unpause(fork, &error));
}

struct progress
progress_of(struct lf_domain *domain, uint64_t gpa)
{
	uint64_t words[6];

	OK(lf_memory_read(domain, gpa, words, sizeof(words), &error));
	cr_assert_eq(memcmp(words, "XFPROGR", 8), 0, "no progress page");
	return (struct progress){.count = words[2], .errors = words[4]};
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
sleep_ms(unsigned ms)
{
	struct timespec rest = {ms / 1000, (ms % 1000) * 1000000L};

	nanosleep(&rest, NULL);
}

/*
 * A counter shows its count elsewhere (places) after each 64 calls: who is so
 * far ahead has done that at least once.
 */
#define AHEAD 128

/* The first page that is not ahead; gpa_count when all are. */
static unsigned
first_behind(struct lf_domain *fork, const uint64_t *gpas,
    const struct progress *from, unsigned gpa_count)
{
	unsigned i;

	for (i = 0; i < gpa_count; i++) {
		struct progress now = progress_of(fork, gpas[i]);

		cr_assert_eq(now.errors, 0);
		cr_assert_geq(now.count, from[i].count);
		if (now.count < from[i].count + AHEAD)
			break;
	}
	return i;
}

void
run_until_ahead(struct lf_domain *const forks[], unsigned count,
    const uint64_t *gpas, const struct progress *from, unsigned gpa_count)
{
	int64_t deadline = now_ms() + PATIENCE_MS;
	unsigned i, behind;

	for (;;) {
		for (i = 0; i < count; i++)
			OK(lf_domain_unpause(forks[i], &error));
		sleep_ms(500);
		for (i = 0; i < count; i++) {
			OK(lf_domain_pause(forks[i], &error));
			cr_assert_eq(lf_domain_state(forks[i]),
			    LF_DOMAIN_PAUSED, "fork %u: %s", i,
			    lf_domain_reason(forks[i]));
		}
		for (i = 0, behind = gpa_count; i < count; i++) {
			behind = first_behind(forks[i], gpas, from, gpa_count);
			if (behind < gpa_count)
				break;
		}
		if (i == count)
			return;
		cr_assert_lt(now_ms(), deadline,
		    "fork %u, vCPU %u stands still: %s", i, behind,
		    lf_domain_reason(forks[i]));
	}
}

void
wait_until_stopped(struct lf_domain *fork)
{
	int64_t deadline = now_ms() + PATIENCE_MS;

	while (lf_domain_state(fork) == LF_DOMAIN_RUNNING) {
		cr_assert_lt(now_ms(), deadline, "it runs on");
		if (lf_domain_dispatch(fork, NULL, &error) == 0)
			sleep_ms(50);
	}
}

/* --- state --- */

#define MSR_PAT       0x277
#define MSR_DEADLINE  0x6e0
#define MSR_KERNEL_GS 0xc0000102

static const struct {
	uint64_t ymm3_high, r13, dr7, pat, kernel_gs, deadline;
	uint8_t exception;
} changed = {0x99aabbccddeeff, 0x1313131313131313, 0x455, 0x0606060606060606,
    0xffff888012345678, UINT64_C(1) << 62, 6};

/* Where AVX's upper halves are; 0 for a guest without AVX. */
static uint32_t
avx_offset(const struct kvm_domain *kvm)
{
	const struct cpu_cpuid_entry *avx =
	    cpu_cpuid_find(&vm_device(kvm->vm)->cpuid, 0xd, 2);

	return avx != NULL ? avx->ebx : 0;
}

void
change_state(struct lf_domain *fork)
{
	struct kvm_domain *kvm = fork->impl;
	struct vcpu *vcpu = vm_vcpu(kvm->vm, 0);
	struct cpu_state *state = vcpu_state_new(vm_device(kvm->vm));
	uint32_t avx = avx_offset(kvm);
	uint64_t bv;

	OK(vcpu_state_get(vcpu, CPU_GROUP_ALL, state, &error));
	cr_assert_neq(avx, 0, "this KVM has no AVX");
	/* In the lab a guest cannot do this itself. */
	state->xcrs.xcr0 |= 7;
	memcpy(&bv, state->xsave.bytes + 512, 8);
	bv |= 7;
	memcpy(state->xsave.bytes + 512, &bv, 8);
	memcpy(state->xsave.bytes + avx + 3 * 16, &changed.ymm3_high, 8);
	state->regs.r13 = changed.r13;
	state->debugregs.dr7 = changed.dr7;
	state->events.exception.injected = 1;
	state->events.exception.nr = changed.exception;
	OK(cpu_state_set_msr(state, MSR_PAT, changed.pat, &error));
	OK(cpu_state_set_msr(state, MSR_KERNEL_GS, changed.kernel_gs, &error));
	OK(cpu_state_set_msr(state, MSR_DEADLINE, changed.deadline, &error));
	OK(vcpu_state_set(
	    vcpu, CPU_GROUP_ALL, state, vcpu_state_host_tsc(), &error));
	cpu_state_free(state);
}

static void
check_shown(const char *text, const char *name, uint64_t value)
{
	const char *at = strstr(text, name);

	cr_assert_not_null(at, "%s: %s", name, text);
	cr_assert_eq(strtoull(at + strlen(name), NULL, 16), value, "%s", text);
}

/* By what it shows to people, and by the stream that it writes itself. */
void
check_changed_state(struct lf_domain *launched)
{
	struct qemu_domain *qemu = launched->impl;
	cleanup(devfile_free_p) struct devfile *file = NULL;
	cleanup_snapshot struct lf_snapshot *snapshot = NULL;
	cleanup_free char *text = NULL;
	struct qemu_vcpu *vcpu = malloc(sizeof(*vcpu));
	const char *ymm3;
	uint64_t high[2];

	OK(qmp_hmp(qemu->qmp, "info registers", &text, &error));
	check_shown(text, "R13=", changed.r13);
	check_shown(text, "DR7=", changed.dr7);
	ymm3 = strstr(text, "YMM03=");
	cr_assert_not_null(ymm3, "%s", text);
	cr_assert_eq(
	    sscanf(ymm3, "YMM03=%" SCNx64 " %" SCNx64, &high[1], &high[0]), 2);
	cr_assert_eq(high[0], changed.ymm3_high, "%s", text);

	OK(lf_domain_freeze(launched, &snapshot, &error));
	OK(devfile_read(snapshot->devstate_fd, NULL, &file, &error));
	OK(qemu_vcpu_load(file->stream, 0, false, vcpu, &error));
	cr_assert_eq(vcpu->cpu.ymmh[3].a, changed.ymm3_high);
	cr_assert_eq(vcpu->cpu.regs[13], changed.r13);
	cr_assert_eq(vcpu->cpu.dr[7], changed.dr7);
	cr_assert_eq(vcpu->cpu.pat, changed.pat);
	cr_assert_eq(vcpu->cpu.kernelgsbase, changed.kernel_gs);
	cr_assert_eq(vcpu->cpu.tsc_deadline, changed.deadline);
	cr_assert_eq(vcpu->cpu.exception_nr, changed.exception);
	free(vcpu);
}

/* --- screen --- */

static unsigned char *
screen_dump(struct lf_domain *domain, const char *name, size_t *ret_len)
{
	struct qemu_domain *qemu = domain->impl;
	cleanup_free char *path = guest_path("%s.ppm", name);
	unsigned char *bytes = malloc(16 << 20);
	ssize_t n, len = 0;
	int fd;

	OK(qmp_execute(qemu->qmp, "screendump",
	    json_pack("{s:s}", "filename", path), NULL, &error));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	while ((n = read(fd, bytes + len, (16 << 20) - (size_t)len)) > 0)
		len += n;
	close(fd);
	cr_assert_gt(len, 64 * 64 * 3, "a screen of %zd bytes", len);
	*ret_len = (size_t)len;
	return bytes;
}

unsigned
screen_changes(
    const struct parent *parent, struct lf_domain *domain, struct console *c)
{
	size_t len, before_len, i;
	unsigned changes = 0;
	unsigned char *before = screen_dump(domain, "before", &before_len);
	unsigned char *after;

	/* Without a text screen, pixels. */
	if (parent->kind->ovmf)
		console_run(
		    c, "mem write 0x%" PRIx64 " 65536 7", parent->video);
	else
		console_run(c, "echo 'after the late launch' >/dev/tty0");
	after = screen_dump(domain, "after", &len);
	cr_assert_eq(len, before_len);
	for (i = 0; i + 3 <= len; i += 3)
		changes += memcmp(before + i, after + i, 3) != 0;
	free(before);
	free(after);
	return changes;
}

/* --- clock --- */

static double
uptime(struct console *console)
{
	return strtod(console_run(console, "cat /proc/uptime"), NULL);
}

/*
 * Both clocks are read twice, the guest's some time between sending the
 * command and its answer: how long that takes makes no difference.
 */
void
check_clock(struct console *console)
{
	int64_t sent[2], answered[2];
	double guest[2], least, most, went;

	for (int i = 0; i < 2; i++) {
		sent[i] = now_ms();
		guest[i] = uptime(console);
		answered[i] = now_ms();
		if (i == 0)
			sleep_ms(3000);
	}
	least = 0.9 * (double)(sent[1] - answered[0]) / 1000 - 0.02;
	most = 1.1 * (double)(answered[1] - sent[0]) / 1000 + 0.02;
	went = guest[1] - guest[0];
	cr_assert(least <= went && went <= most,
	    "the guest's clock went %.2f s, not %.2f to %.2f s", went, least,
	    most);
}

/* --- network --- */

static unsigned
forwarded_port(struct lf_domain *domain)
{
	cleanup_free char *text = NULL;
	const char *host;
	json_t *facts;
	unsigned port = 0;

	OK(lf_domain_describe(domain, &text, &error));
	facts = json_loads(text, 0, NULL);
	host = json_string_value(json_object_get(
	    json_array_get(json_object_get(facts, "forwards"), 0), "host"));
	cr_assert_not_null(host, "%s", text);
	cr_assert_eq(sscanf(host, "127.0.0.1:%u", &port), 1, "%s", host);
	json_decref(facts);
	return port;
}

/* One exchange; why it failed, NULL when it did not. */
static const char *
exchange(const struct sockaddr_in *address)
{
	struct timeval patience = {.tv_sec = 20};
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char sent[3000], got[3000] = "";
	const char *reason = NULL;

	pattern_fill(sent, sizeof(sent), 99);
	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(sock, (const struct sockaddr *)address, sizeof(*address)) <
	    0)
		reason = "nobody listens";
	else if (send(sock, sent, sizeof(sent), MSG_NOSIGNAL) !=
		 (ssize_t)sizeof(sent))
		reason = "nothing can be sent";
	else if (recv(sock, got, sizeof(got), MSG_WAITALL) !=
		 (ssize_t)sizeof(got))
		reason = "not all comes back";
	close(sock);
	if (reason == NULL)
		cr_assert_eq(memcmp(sent, got, sizeof(got)), 0);
	return reason;
}

/* The guest needs a while until it answers, and QEMU may not wait so long. */
void
check_network(struct lf_domain *domain)
{
	const struct sockaddr_in address = {
	    .sin_family = AF_INET,
	    .sin_port = htons((uint16_t)forwarded_port(domain)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int64_t deadline = now_ms() + PATIENCE_MS;
	const char *reason;

	while ((reason = exchange(&address)) != NULL) {
		cr_assert_lt(now_ms(), deadline, "echo: %s", reason);
		sleep_ms(500);
	}
}

/* --- memory --- */

uint64_t
sparse_hash(int fd)
{
	static unsigned char buf[1 << 20];
	uint64_t hash = 0xcbf29ce484222325u;
	off_t at = 0, end;
	ssize_t n;

	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		for (; at < end; at += n) {
			size_t len = end - at < (off_t)sizeof(buf)
					 ? (size_t)(end - at)
					 : sizeof(buf);

			n = pread(fd, buf, len, at);
			cr_assert_gt(n, 0);
			for (ssize_t i = 0; i + 8 <= n; i += 8) {
				uint64_t word;

				memcpy(&word, buf + i, 8);
				/* A page of zeros is as good as a hole. */
				if (word != 0)
					hash =
					    (hash ^ word ^ (uint64_t)(at + i)) *
					    0x100000001b3u;
			}
		}
	}
	return hash;
}

uint64_t
word_at(struct lf_domain *domain, uint64_t gpa)
{
	uint64_t word;

	OK(lf_memory_read(domain, gpa, &word, sizeof(word), &error));
	return word;
}

void
two_phase_setup(void)
{
	struct lf_host host;
	char reason[256];

	OK(lf_host_probe(&host, &error));
	if (!lf_host_prefers_kvm(&host, reason, sizeof(reason)))
		cr_skip_test("%s", reason);
	guest_setup();
}
