/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Samples: read once, parsed, translated.
 */
#include "lib/sample.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int
sample_fd(const char *name)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/tests/data/streams/%s.stream",
	    getenv("top_srcdir"), name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s", path);
	return fd;
}

struct sample
sample_open(const char *name)
{
	struct sample sample;
	struct lf_error error;
	struct stat st;
	int fd = sample_fd(name);

	fstat(fd, &st);
	sample.len = (size_t)st.st_size;
	sample.data = malloc(sample.len);
	cr_assert_eq(read(fd, sample.data, sample.len), (ssize_t)sample.len);
	close(fd);
	cr_assert_eq(
	    stream_parse(sample.data, sample.len, NULL, &sample.stream, &error),
	    0, "%s", error.message);
	return sample;
}

void
sample_close(struct sample *sample)
{
	stream_free(sample->stream);
	free(sample->data);
}

const struct cpu_cpuid sample_layout = {
    .count = 2,
    .entry =
	{
	    {.function = 0xd,
		.index = 2,
		.flags = CPU_CPUID_INDEXED,
		.eax = 256,
		.ebx = 576},
	    {.function = 0xd,
		.index = 9,
		.flags = CPU_CPUID_INDEXED,
		.eax = 8,
		.ebx = 2432},
	},
};

struct cpu_state *
sample_fresh_state(void)
{
	struct cpu_state *state = cpu_state_new(0);

	state->lapic.present = 1;
	state->nested.size = 128;
	state->nested.format = 1;
	return state;
}

struct qemu_vcpu
sample_vcpu(const struct sample *sample, unsigned index, bool tcg)
{
	struct qemu_vcpu vcpu;
	struct lf_error error;

	cr_assert_eq(qemu_vcpu_load(sample->stream, index, tcg, &vcpu, &error),
	    0, "%s", error.message);
	return vcpu;
}

struct cpu_state *
sample_translate(const struct qemu_vcpu *vcpu)
{
	struct cpu_state *state = sample_fresh_state();
	struct lf_error error;

	cr_assert_eq(qemu_vcpu_to_state(vcpu, &sample_layout, state, &error), 0,
	    "%s", error.message);
	return state;
}
