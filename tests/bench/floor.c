/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bare system calls. The order and the groups are those of libfork's fork and
 * reset; every call here is one that libfork makes, too.
 */
#include "bench/floor.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/bench.h"

static void
must(int r, const char *what)
{
	bench_must(r < 0 ? -errno : 0, what);
}

void
floor_recipe_init(struct floor_recipe *recipe,
    const struct lf_snapshot *snapshot, uint32_t ring_entries)
{
	memset(recipe, 0, sizeof(*recipe));
	bench_must(kvm_device_get(&recipe->device, NULL), "no KVM");
	recipe->state = snapshot->vcpus[0];
	recipe->cpuid = recipe->device->cpuid;
	cpu_cpuid_set_apic_id(&recipe->cpuid, 0);
	recipe->ram_fd = ram_file_fd(snapshot->image->files[0]);
	recipe->ram_bytes = ram_file_size(snapshot->image->files[0]);
	recipe->ring_entries = ring_entries;
}

static void
enable(int vm, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap enable_cap = {.cap = cap, .args = {arg}};

	must(ioctl(vm, KVM_ENABLE_CAP, &enable_cap), "KVM_ENABLE_CAP");
}

void
floor_shell(const struct floor_recipe *recipe, struct floor_vm *vm)
{
	const struct kvm_device *device = recipe->device;
	uint64_t identity = 0xfeffc000;
	size_t ring_bytes = recipe->ring_entries * sizeof(struct kvm_dirty_gfn);

	memset(vm, 0, sizeof(*vm));
	vm->vm = ioctl(device->fd, KVM_CREATE_VM, 0);
	must(vm->vm, "KVM_CREATE_VM");
	if (ring_bytes > 0)
		enable(vm->vm, device->ring_cap, ring_bytes);
	if (device->exception_payload)
		enable(vm->vm, KVM_CAP_EXCEPTION_PAYLOAD, 1);
	if (device->triple_fault_event)
		enable(vm->vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1);
	if (device->emulation_failure_bytes)
		enable(vm->vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1);
	must(ioctl(vm->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity),
	    "KVM_SET_IDENTITY_MAP_ADDR");
	must(ioctl(vm->vm, KVM_SET_TSS_ADDR, 0xfeffd000UL), "KVM_SET_TSS_ADDR");
	vm->vcpu = ioctl(vm->vm, KVM_CREATE_VCPU, 0);
	must(vm->vcpu, "KVM_CREATE_VCPU");
	vm->run_bytes = device->run_bytes;
	vm->ring_bytes = ring_bytes;
	vm->run = mmap(NULL, device->run_bytes, PROT_READ | PROT_WRITE,
	    MAP_SHARED, vm->vcpu, 0);
	must(vm->run == MAP_FAILED ? -1 : 0, "mmap of the run page");
	if (ring_bytes > 0) {
		vm->ring = mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE,
		    MAP_SHARED, vm->vcpu, KVM_DIRTY_LOG_PAGE_OFFSET * 4096);
		must(vm->ring == MAP_FAILED ? -1 : 0, "mmap of the ring");
	}
	must(ioctl(vm->vcpu, KVM_SET_CPUID2, &recipe->cpuid), "KVM_SET_CPUID2");
}

void
floor_memory(const struct floor_recipe *recipe, struct floor_vm *vm)
{
	struct kvm_userspace_memory_region region = {
	    .memory_size = recipe->ram_bytes,
	    .flags = recipe->ring_entries > 0 ? KVM_MEM_LOG_DIRTY_PAGES : 0,
	};

	vm->ram_bytes = recipe->ram_bytes;
	vm->memory = mmap(NULL, vm->ram_bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_NORESERVE, recipe->ram_fd, 0);
	must(vm->memory == MAP_FAILED ? -1 : 0, "mmap of the memory");
	region.userspace_addr = (uintptr_t)vm->memory;
	must(ioctl(vm->vm, KVM_SET_USER_MEMORY_REGION, &region),
	    "KVM_SET_USER_MEMORY_REGION");
}

void
floor_load(const struct floor_recipe *recipe, struct floor_vm *vm, bool all)
{
	const struct cpu_state *state = recipe->state;
	struct kvm_sync_regs *page = &vm->run->s.regs;

	if (all) {
		struct kvm_mp_state mp_state = {state->mp_state};
		struct kvm_xcrs xcrs = {.nr_xcrs = 1};

		xcrs.xcrs[0].value = state->xcrs.xcr0;
		must(ioctl(vm->vcpu, KVM_SET_MP_STATE, &mp_state), "mp_state");
		must(ioctl(vm->vcpu, KVM_SET_XSAVE, state->xsave.bytes),
		    "xsave");
		must(ioctl(vm->vcpu, KVM_SET_XCRS, &xcrs), "xcrs");
		must(ioctl(vm->vcpu, KVM_SET_DEBUGREGS, &state->debugregs),
		    "debugregs");
		must(ioctl(vm->vcpu, KVM_SET_MSRS, &state->msrs), "msrs");
	}
	memcpy(&page->regs, &state->regs, sizeof(page->regs));
	memcpy(&page->sregs, &state->sregs,
	    offsetof(struct kvm_sregs, interrupt_bitmap));
	memset(page->sregs.interrupt_bitmap, 0,
	    sizeof(page->sregs.interrupt_bitmap));
	memcpy(&page->events, &state->events, sizeof(page->events));
	vm->run->kvm_dirty_regs = KVM_SYNC_X86_VALID_FIELDS;
}

void
floor_run(struct floor_vm *vm)
{
	while (ioctl(vm->vcpu, KVM_RUN, 0) < 0)
		must(errno == EINTR || errno == EAGAIN ? 0 : -1, "KVM_RUN");
	bench_must(
	    vm->run->exit_reason == KVM_EXIT_IO ? 0 : -1, "no port access");
}

void
floor_free(struct floor_vm *vm)
{
	munmap(vm->run, vm->run_bytes);
	if (vm->ring != NULL)
		munmap(vm->ring, vm->ring_bytes);
	if (vm->memory != NULL)
		munmap(vm->memory, vm->ram_bytes);
	close(vm->vcpu);
	close(vm->vm);
}
