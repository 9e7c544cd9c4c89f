/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One pair of functions per chip of cpu/chips.def, called in the table's
 * order.
 */
#include "kvm/vm_chips.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/sys.h"
#include "kvm/internal.h"

_Static_assert(sizeof(struct cpu_pic) == sizeof(struct kvm_pic_state) &&
		   offsetof(struct cpu_pic, elcr_mask) ==
		       offsetof(struct kvm_pic_state, elcr_mask),
    "a PIC is handed to KVM in place");
_Static_assert(sizeof(struct cpu_ioapic) == sizeof(struct kvm_ioapic_state) &&
		   offsetof(struct cpu_ioapic, redirtbl) ==
		       offsetof(struct kvm_ioapic_state, redirtbl),
    "the IOAPIC is handed to KVM in place");
_Static_assert(sizeof(struct cpu_pit) == sizeof(struct kvm_pit_state2) &&
		   sizeof(struct cpu_pit_channel) ==
		       sizeof(struct kvm_pit_channel_state) &&
		   offsetof(struct cpu_pit_channel, count_load_time) ==
		       offsetof(struct kvm_pit_channel_state, count_load_time),
    "the PIT is handed to KVM in place");
_Static_assert(CPU_PIT_HPET_LEGACY == KVM_PIT_FLAGS_HPET_LEGACY &&
		   CPU_PIT_SPEAKER == KVM_PIT_FLAGS_SPEAKER_DATA_ON,
    "flags of the PIT are KVM's");

/*
 * How far the guest's clock may be from the host's while one second passes:
 * one of the two may be steered by NTP, up to 500 ppm, and the other not.
 */
#define CLOCK_DRIFT_DIVISOR 1000
#define CLOCK_SLACK_NS      1000

static int
chip_try(struct vm *vm, unsigned long request, void *arg, const char *what,
    enum cpu_chip_index chip, struct lf_error *error)
{
	int r = vm_ioctl(vm, request, arg);

	if (r < 0)
		return error_sys(error, -r, "KVM: cannot %s the %s", what,
		    cpu_chip_title(chip));
	return 0;
}

/* --- PICs and IOAPIC: one request, told apart by a number --- */

static int
get_irqchip(struct vm *vm, uint32_t id, void *state, size_t len,
    enum cpu_chip_index chip, struct lf_error *error)
{
	struct kvm_irqchip irqchip = {.chip_id = id};
	int rc = chip_try(vm, KVM_GET_IRQCHIP, &irqchip, "get", chip, error);

	if (rc == 0)
		memcpy(state, &irqchip.chip, len);
	return rc;
}

static int
set_irqchip(struct vm *vm, uint32_t id, const void *state, size_t len,
    enum cpu_chip_index chip, struct lf_error *error)
{
	struct kvm_irqchip irqchip = {.chip_id = id};

	memcpy(&irqchip.chip, state, len);
	return chip_try(vm, KVM_SET_IRQCHIP, &irqchip, "set", chip, error);
}

static int
get_pic(struct vm *vm, struct cpu_chips *chips, struct lf_error *error)
{
	unsigned i;
	int rc = 0;

	for (i = 0; rc == 0 && i < CPU_PICS; i++)
		rc = get_irqchip(vm, KVM_IRQCHIP_PIC_MASTER + i, &chips->pic[i],
		    sizeof(chips->pic[i]), CPU_CHIP_INDEX_PIC, error);
	return rc;
}

/*
 * The slave first: its output is an input of the master, and loading one
 * computes its output anew.
 */
static int
set_pic(struct vm *vm, const struct cpu_chips *chips, struct lf_error *error)
{
	unsigned i;
	int rc = 0;

	for (i = CPU_PICS; rc == 0 && i-- > 0;)
		rc = set_irqchip(vm, KVM_IRQCHIP_PIC_MASTER + i, &chips->pic[i],
		    sizeof(chips->pic[i]), CPU_CHIP_INDEX_PIC, error);
	return rc;
}

static int
get_ioapic(struct vm *vm, struct cpu_chips *chips, struct lf_error *error)
{
	return get_irqchip(vm, KVM_IRQCHIP_IOAPIC, &chips->ioapic,
	    sizeof(chips->ioapic), CPU_CHIP_INDEX_IOAPIC, error);
}

static int
set_ioapic(struct vm *vm, const struct cpu_chips *chips, struct lf_error *error)
{
	return set_irqchip(vm, KVM_IRQCHIP_IOAPIC, &chips->ioapic,
	    sizeof(chips->ioapic), CPU_CHIP_INDEX_IOAPIC, error);
}

/* --- PIT and clock --- */

static int
get_pit(struct vm *vm, struct cpu_chips *chips, struct lf_error *error)
{
	return chip_try(
	    vm, KVM_GET_PIT2, &chips->pit, "get", CPU_CHIP_INDEX_PIT, error);
}

static int
set_pit(struct vm *vm, const struct cpu_chips *chips, struct lf_error *error)
{
	return chip_try(vm, KVM_SET_PIT2, (void *)&chips->pit, "set",
	    CPU_CHIP_INDEX_PIT, error);
}

static uint64_t
host_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int
get_clock(struct vm *vm, struct cpu_chips *chips, struct lf_error *error)
{
	struct kvm_clock_data data;
	int rc = chip_try(
	    vm, KVM_GET_CLOCK, &data, "get", CPU_CHIP_INDEX_CLOCK, error);

	if (rc == 0)
		chips->clock.ns = data.clock;
	return rc;
}

static int
set_clock(struct vm *vm, const struct cpu_chips *chips, struct lf_error *error)
{
	struct kvm_clock_data data = {.clock = chips->clock.ns};
	int rc;

	vm->clock_set.from = host_ns();
	rc = chip_try(
	    vm, KVM_SET_CLOCK, &data, "set", CPU_CHIP_INDEX_CLOCK, error);
	vm->clock_set.to = host_ns();
	return rc;
}

/* --- the table --- */

static const struct {
	int (*get)(
	    struct vm *vm, struct cpu_chips *chips, struct lf_error *error);
	int (*set)(struct vm *vm, const struct cpu_chips *chips,
	    struct lf_error *error);
} rows[CPU_CHIP_COUNT] = {
#define CPU_CHIP(NAME, member, title) \
	[CPU_CHIP_INDEX_##NAME] = {get_##member, set_##member},
#include "cpu/chips.def"
#undef CPU_CHIP
};

uint32_t
vm_chips(const struct vm *vm)
{
	return vm->irqchip == VM_IRQCHIP_FULL ? CPU_CHIP_ALL : CPU_CHIP_CLOCK;
}

int
vm_chips_get(struct vm *vm, uint32_t mask, struct cpu_chips *chips,
    struct lf_error *error)
{
	unsigned i;

	mask &= vm_chips(vm);
	for (i = 0; i < CPU_CHIP_COUNT; i++) {
		int rc;

		if ((mask & (1U << i)) == 0)
			continue;
		rc = rows[i].get(vm, chips, error);
		if (rc < 0)
			return rc;
		chips->chips |= 1U << i;
	}
	return 0;
}

int
vm_chips_set(struct vm *vm, uint32_t mask, const struct cpu_chips *chips,
    struct lf_error *error)
{
	unsigned i;
	int rc = 0;

	mask &= vm_chips(vm) & chips->chips;
	for (i = 0; rc == 0 && i < CPU_CHIP_COUNT; i++)
		if (mask & (1U << i))
			rc = rows[i].set(vm, chips, error);
	if (mask & CPU_CHIP_PIT)
		vm->pit_vector_count =
		    cpu_chips_pit_vectors(chips, vm->pit_vectors);
	return rc;
}

/*
 * The clock was set, and read now, at some moment between two looks at the
 * host's: however long those were apart, its value lies between two others.
 */
static int
verify_clock(
    struct vm *vm, const struct cpu_clock *wanted, struct lf_error *error)
{
	struct cpu_chips chips;
	uint64_t from = host_ns(), to, drift, least, most;
	int rc = get_clock(vm, &chips, error);

	if (rc < 0)
		return rc;
	to = host_ns();
	drift =
	    (to - vm->clock_set.from) / CLOCK_DRIFT_DIVISOR + CLOCK_SLACK_NS;
	least = wanted->ns + (from - vm->clock_set.to) - drift;
	most = wanted->ns + (to - vm->clock_set.from) + drift;
	if ((int64_t)(chips.clock.ns - least) >= 0 && chips.clock.ns <= most)
		return 0;
	return error_set(error, EBADMSG,
	    "%s: it is at %" PRIu64 " ns, between %" PRIu64 " and %" PRIu64
	    " wanted",
	    cpu_chip_title(CPU_CHIP_INDEX_CLOCK), chips.clock.ns, least, most);
}

int
vm_chips_verify(struct vm *vm, uint32_t mask, const struct cpu_chips *wanted,
    struct lf_error *error)
{
	struct cpu_chips found = {0};
	int rc;

	mask &= vm_chips(vm) & wanted->chips;
	rc = vm_chips_get(vm, mask, &found, error);
	if (rc == 0)
		rc = cpu_chips_compare(wanted, &found, mask, error);
	if (rc == 0 && (mask & CPU_CHIP_CLOCK))
		rc = verify_clock(vm, &wanted->clock, error);
	return rc;
}
