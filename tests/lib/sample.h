/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Real QEMUs' streams (tests/data/streams), and the states of their vCPUs as a
 * host with the layout of an AMD's XSAVE image has them. Everything here fails
 * the test when it fails.
 */
#ifndef TESTS_LIB_SAMPLE_H
#define TESTS_LIB_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu/cpuid.h"
#include "cpu/state.h"
#include "qemu/cpu_translate.h"
#include "qemu/stream.h"

struct sample {
	uint8_t *data; /* may be changed: `stream` is of the unchanged bytes */
	size_t len;
	struct stream *stream;
};

/* The file NAME.stream, to be read. */
int sample_fd(const char *name);

struct sample sample_open(const char *name);
void sample_close(struct sample *sample);

/* AVX at 576, protection keys at 2432. */
extern const struct cpu_cpuid sample_layout;

/* What a fresh vCPU of an AMD host has. */
struct cpu_state *sample_fresh_state(void);

/* The sections of a vCPU, and the state that they are. */
struct qemu_vcpu sample_vcpu(
    const struct sample *sample, unsigned index, bool tcg);
struct cpu_state *sample_translate(const struct qemu_vcpu *vcpu);

#endif
