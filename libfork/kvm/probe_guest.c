/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The measuring guest: page tables and segments written by hand.
 */
#include "kvm/probe_guest.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/sys.h"
#include "cpu/arch.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

#define RAM_BYTES       0x10000
#define PML4            0x1000
#define PDPT            0x2000
#define PD              0x3000

#define PTE_TABLE       0x07 /* present, writable, user */
#define PTE_PAGE        0x87 /* the same, large */

#define CR0_PE_ET_NE_PG 0x80000031ULL

static void
put_entry(uint8_t *ram, uint64_t gpa, uint64_t entry)
{
	memcpy(ram + gpa, &entry, sizeof(entry));
}

int
probe_guest_init(struct probe_guest *guest, const struct kvm_device *device,
    unsigned vcpus, uint32_t caps, struct lf_error *error)
{
	const struct vm_recipe recipe = {.vcpus = vcpus, .caps = caps};
	struct vm_memslot slot = {.length = RAM_BYTES};
	void *ram;
	int rc;

	guest->vm = NULL;
	guest->ram = NULL;
	ram = sys.mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ram == MAP_FAILED)
		return error_nomem(error);
	guest->ram = ram;
	put_entry(guest->ram, PML4, PDPT | PTE_TABLE);
	put_entry(guest->ram, PDPT, PD | PTE_TABLE);
	put_entry(guest->ram, PD, PTE_PAGE);
	rc = vm_new(device, &recipe, &guest->vm, error);
	if (rc < 0)
		return rc;
	guest->vcpu = vm_vcpu(guest->vm, 0);
	slot.memory = guest->ram;
	return vm_set_memslot(guest->vm, &slot, error);
}

void
probe_guest_done(struct probe_guest *guest)
{
	vm_free(guest->vm);
	if (guest->ram != NULL)
		munmap(guest->ram, RAM_BYTES);
}

static struct cpu_segment
segment(unsigned cpl, uint16_t index, uint8_t type, bool code)
{
	return (struct cpu_segment){
	    .limit = 0xffffffff,
	    .selector = index << 3 | cpl,
	    .type = type,
	    .present = 1,
	    .dpl = cpl,
	    .db = !code,
	    .s = 1,
	    .l = code,
	    .g = 1,
	};
}

int
probe_guest_load(struct probe_guest *guest, const uint8_t *code, size_t len,
    unsigned cpl, const struct cpu_regs *regs, struct lf_error *error)
{
	struct cpu_sregs sregs;
	struct cpu_regs start = {0};
	int rc = vcpu_get_sregs(guest->vcpu, &sregs, error);

	if (rc < 0)
		return rc;
	sregs.cs = segment(cpl, 6, 0xb, true);
	sregs.ds = sregs.es = sregs.ss = segment(cpl, 5, 0x3, false);
	sregs.cr0 = CR0_PE_ET_NE_PG;
	sregs.cr3 = PML4;
	sregs.cr4 = CR4_PAE;
	sregs.efer = EFER_LME | EFER_LMA;
	rc = vcpu_set_sregs(guest->vcpu, &sregs, error);
	if (rc < 0)
		return rc;
	memcpy(guest->ram + PROBE_GUEST_CODE, code, len);
	if (regs != NULL)
		start = *regs;
	start.rip = PROBE_GUEST_CODE;
	start.rsp = PROBE_GUEST_STACK;
	start.rflags = RFLAGS_FIXED | RFLAGS_IOPL;
	return vcpu_set_regs(guest->vcpu, &start, error);
}
