/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The local APIC: register N of its page holds bits as the SDM numbers them.
 */
#include "qemu/apic_translate.h"

#define X2APIC_ENABLED (1U << 10)

void
qemu_apic_to_state(const struct qemu_apic *apic, struct cpu_lapic *lapic)
{
	unsigned i;

	if (!lapic->present)
		return;
	/*
	 * With x2APIC the id is 32 bits wide, KVM insists on its own (which
	 * below 255 is what the section has), and makes the rest out of it.
	 */
	if (apic->apicbase & X2APIC_ENABLED) {
		cpu_lapic_write(lapic, 0x20, apic->id);
	} else {
		cpu_lapic_write(lapic, 0x20, (uint32_t)apic->id << 24);
		cpu_lapic_write(lapic, 0xd0, (uint32_t)apic->log_dest << 24);
		cpu_lapic_write(
		    lapic, 0xe0, (uint32_t)apic->dest_mode << 28 | 0x0fffffff);
	}
	cpu_lapic_write(lapic, 0x80, apic->tpr);
	cpu_lapic_write(lapic, 0xf0, apic->spurious_vec);
	for (i = 0; i < 8; i++) {
		cpu_lapic_write(lapic, 0x100 + 16 * i, apic->isr[i]);
		cpu_lapic_write(lapic, 0x180 + 16 * i, apic->tmr[i]);
		cpu_lapic_write(lapic, 0x200 + 16 * i, apic->irr[i]);
	}
	cpu_lapic_write(lapic, 0x280, apic->esr);
	cpu_lapic_write(lapic, 0x300, apic->icr[0]);
	cpu_lapic_write(lapic, 0x310, apic->icr[1]);
	for (i = 0; i < 6; i++)
		cpu_lapic_write(lapic, 0x320 + 16 * i, apic->lvt[i]);
	cpu_lapic_write(lapic, 0x380, apic->initial_count);
	cpu_lapic_write(lapic, 0x3e0, apic->divide_conf);
}

/*
 * A TCG's timer expires by QEMU's clock (apic_next_timer of
 * hw/intc/apic_common.c). Set anew by the fork, it has its whole period ahead.
 */
static void
restart_timer(int64_t now, struct qemu_apic *apic)
{
	bool masked = (apic->lvt[0] & CPU_LAPIC_LVT_MASKED) != 0;

	apic->initial_count_load_time = (uint64_t)now;
	apic->timer_expiry = UINT64_MAX; /* none */
	if (masked || apic->initial_count == 0)
		return;
	apic->next_time = (uint64_t)now + (((uint64_t)apic->initial_count + 1)
					      << apic->count_shift);
	apic->timer_expiry = apic->next_time;
}

void
qemu_apic_from_state(const struct cpu_lapic *lapic, bool tcg, int64_t clock,
    struct qemu_apic *apic)
{
	const struct qemu_apic before = *apic;
	unsigned i, divide;

	if (!lapic->present)
		return;
	if (!(apic->apicbase & X2APIC_ENABLED)) {
		apic->id = (uint8_t)(cpu_lapic_read(lapic, 0x20) >> 24);
		apic->log_dest = (uint8_t)(cpu_lapic_read(lapic, 0xd0) >> 24);
		apic->dest_mode = (uint8_t)(cpu_lapic_read(lapic, 0xe0) >> 28);
	}
	apic->tpr = (uint8_t)cpu_lapic_read(lapic, 0x80);
	apic->spurious_vec = cpu_lapic_read(lapic, 0xf0);
	for (i = 0; i < 8; i++) {
		apic->isr[i] = cpu_lapic_read(lapic, 0x100 + 16 * i);
		apic->tmr[i] = cpu_lapic_read(lapic, 0x180 + 16 * i);
		apic->irr[i] = cpu_lapic_read(lapic, 0x200 + 16 * i);
	}
	apic->esr = cpu_lapic_read(lapic, 0x280);
	apic->icr[0] = cpu_lapic_read(lapic, 0x300);
	apic->icr[1] = cpu_lapic_read(lapic, 0x310);
	for (i = 0; i < 6; i++)
		apic->lvt[i] = cpu_lapic_read(lapic, 0x320 + 16 * i);
	apic->initial_count = cpu_lapic_read(lapic, 0x380);
	apic->divide_conf = cpu_lapic_read(lapic, 0x3e0);
	divide = (apic->divide_conf & 3) | (apic->divide_conf >> 1 & 4);
	apic->count_shift = (divide + 1) & 7;
	if (tcg && (apic->initial_count != before.initial_count ||
		       apic->lvt[0] != before.lvt[0] ||
		       apic->divide_conf != before.divide_conf))
		restart_timer(clock, apic);
}
