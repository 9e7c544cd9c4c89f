/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tables of "apic" and "cpu_common".
 */
#include "qemu/apic_section.h"

#define APIC(member)  VMSTATE_INT(#member, struct qemu_apic, member)
#define APICS(member) VMSTATE_INTS(#member, struct qemu_apic, member)
#define END                  \
	{                    \
		.name = NULL \
	}

static const struct vmstate_field apic_fields[] = {
    APIC(apicbase),
    APIC(id),
    APIC(arb_id),
    APIC(tpr),
    APIC(spurious_vec),
    APIC(log_dest),
    APIC(dest_mode),
    APICS(isr),
    APICS(tmr),
    APICS(irr),
    APICS(lvt),
    APIC(esr),
    APICS(icr),
    APIC(divide_conf),
    APIC(count_shift),
    APIC(initial_count),
    APIC(initial_count_load_time),
    APIC(next_time),
    APIC(timer_expiry),
    END,
};

static const struct vmstate_field sipi_fields[] = {
    APIC(sipi_vector),
    APIC(wait_for_sipi),
    END,
};

static const struct vmstate_subsection apic_subsections[] = {
    {"apic_sipi", 1, sipi_fields, NULL},
    {.name = NULL},
};

static const struct vmstate_table apic_table = {
    .name = "apic",
    .version = 3,
    .fields = apic_fields,
    .subsections = apic_subsections,
};

static const struct vmstate_field common_fields[] = {
    VMSTATE_INT("halted", struct qemu_cpu_common, halted),
    VMSTATE_INT("interrupt_request", struct qemu_cpu_common, interrupt_request),
    END,
};

/* What TCG keeps between two instructions; KVM has no use for it. */
static const struct vmstate_subsection common_subsections[] = {
    {"cpu_common/exception_index", 1, NULL, NULL},
    {"cpu_common/crash_occurred", 1, NULL, NULL},
    {.name = NULL},
};

static const struct vmstate_table common_table = {
    .name = "cpu_common",
    .version = 1,
    .fields = common_fields,
    .subsections = common_subsections,
};

int
qemu_apic_load(const struct stream *stream,
    const struct stream_section *section, struct qemu_apic *ret_apic,
    struct lf_error *error)
{
	*ret_apic = (struct qemu_apic){0};
	return vmstate_load(&apic_table, section->device,
	    stream->data + section->offset, ret_apic, &ret_apic->found, error);
}

void
qemu_apic_save(const struct qemu_apic *apic, struct writer *w)
{
	vmstate_save(&apic_table, &apic->found, apic, w);
}

int
qemu_cpu_common_load(const struct stream *stream,
    const struct stream_section *section, struct qemu_cpu_common *ret_common,
    struct lf_error *error)
{
	*ret_common = (struct qemu_cpu_common){0};
	return vmstate_load(&common_table, section->device,
	    stream->data + section->offset, ret_common, &ret_common->found,
	    error);
}

void
qemu_cpu_common_save(const struct qemu_cpu_common *common, struct writer *w)
{
	vmstate_save(&common_table, &common->found, common, w);
}
