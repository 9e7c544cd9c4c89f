/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stream's "apic" and "cpu_common" sections: the parts of a vCPU's state
 * that QEMU keeps outside of "cpu" (hw/intc/apic_common.c version 3,
 * cpu common version 1).
 */
#ifndef QEMU_APIC_SECTION_H
#define QEMU_APIC_SECTION_H

#include <stdint.h>

#include <libfork/error.h>

#include "base/writer.h"
#include "qemu/stream.h"
#include "qemu/vmstate.h"

struct qemu_apic {
	uint32_t apicbase;
	uint8_t id, arb_id, tpr;
	uint32_t spurious_vec;
	uint8_t log_dest, dest_mode;
	uint32_t isr[8], tmr[8], irr[8];
	uint32_t lvt[6];
	uint32_t esr;
	uint32_t icr[2];
	uint32_t divide_conf;
	uint32_t count_shift;
	uint32_t initial_count;
	uint64_t initial_count_load_time, next_time, timer_expiry;
	uint32_t sipi_vector, wait_for_sipi;
	struct vmstate_found found;
};

struct qemu_cpu_common {
	uint32_t halted;
	uint32_t interrupt_request;
	struct vmstate_found found;
};

int qemu_apic_load(const struct stream *stream,
    const struct stream_section *section, struct qemu_apic *ret_apic,
    struct lf_error *error);
void qemu_apic_save(const struct qemu_apic *apic, struct writer *w);

int qemu_cpu_common_load(const struct stream *stream,
    const struct stream_section *section, struct qemu_cpu_common *ret_common,
    struct lf_error *error);
void qemu_cpu_common_save(
    const struct qemu_cpu_common *common, struct writer *w);

#endif
