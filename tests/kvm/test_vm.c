/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VM shells, memslots, dirty rings, stopping; recipes that are refused; every
 * system call failing in turn; hosts without KVM.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libfork/host.h>

#include "lib/fault.h"
#include "lib/microvm.h"

#define DONE 0xe6, MICRO_DONE_PORT

/* Writes a word to each of RCX pages from RDI on, then says done; again. */
static const uint8_t touch[] = {
    0x49, 0x89, 0xf8,                         /* mov r8, rdi */
    0x49, 0x89, 0xc9,                         /* mov r9, rcx */
    0x49, 0xff, 0x00,                         /* inc qword [r8] */
    0x49, 0x81, 0xc0, 0x00, 0x10, 0x00, 0x00, /* add r8, 4096 */
    0x49, 0xff, 0xc9,                         /* dec r9 */
    0x75, 0xf1,                               /* jnz */
    DONE, 0xeb, 0xe5,                         /* jmp to the start */
};

static const uint8_t spin[] = {0xeb, 0xfe};

static void
begin_touch(
    struct microvm *micro, const struct vm_recipe *recipe, uint64_t pages)
{
	struct cpu_regs regs;
	struct lf_error error;
	struct vcpu *vcpu;

	microvm_init(micro, recipe);
	microvm_code(micro, touch, sizeof(touch));
	microvm_start(micro, 0, 3, 0);
	vcpu = vm_vcpu(micro->vm, 0);
	cr_assert_eq(vcpu_get_regs(vcpu, &regs, &error), 0);
	regs.rdi = MICRO_FREE;
	regs.rcx = pages;
	cr_assert_eq(vcpu_set_regs(vcpu, &regs, &error), 0);
}

static int
run_touch(struct microvm *micro, struct lf_error *error)
{
	struct vcpu *vcpu = vm_vcpu(micro->vm, 0);
	struct lf_exit exit;
	int rc = vcpu_run(vcpu, &exit, error);

	if (rc == VCPU_EXIT)
		cr_assert_eq(vcpu_answer_nobody(vcpu, error), 0);
	return rc;
}

/* How many of the pages from MICRO_FREE on are reported. */
static unsigned
collect(struct microvm *micro, bool seen[256])
{
	struct ring_page pages[64];
	unsigned count = 0;
	size_t n, i;

	do {
		n = ring_collect(vm_vcpu(micro->vm, 0), pages, 64);
		for (i = 0; i < n; i++) {
			uint64_t page = pages[i].page - MICRO_FREE / 4096;

			cr_assert_eq(pages[i].slot, 0);
			if (page < 256 && !seen[page]) {
				seen[page] = true;
				count++;
			}
		}
	} while (n == 64);
	return count;
}

Test(ring, first_writes_are_reported_and_anew_after_giving_back)
{
	const struct vm_recipe recipe = {.vcpus = 1, .ring_entries = 1024};
	struct microvm micro;
	struct lf_error error;
	bool seen[256] = {false};
	int i;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	begin_touch(&micro, &recipe, 100);
	cr_assert_eq(run_touch(&micro, &error), VCPU_EXIT);
	cr_assert_eq(collect(&micro, seen), 100);
	for (i = 0; i < 3; i++)
		cr_assert_eq(run_touch(&micro, &error), VCPU_EXIT);
	memset(seen, 0, sizeof(seen));
	cr_assert_eq(collect(&micro, seen), 0, "a page was reported again");
	cr_assert_not(ring_pressed(micro.vm));
	cr_assert_geq(ring_give_back(micro.vm, &error), 100);
	cr_assert_eq(run_touch(&micro, &error), VCPU_EXIT);
	cr_assert_eq(collect(&micro, seen), 100);
	cr_assert_eq(memcmp(micro.ram + MICRO_FREE, "\5\0\0\0", 4), 0);
	microvm_done(&micro);
}

Test(ring, a_full_ring_ends_the_run_and_loses_nothing)
{
	const struct vm_recipe recipe = {.vcpus = 1, .ring_entries = 256};
	struct microvm micro;
	struct lf_error error;
	bool seen[256] = {false};
	unsigned count = 0, full = 0;
	int rc;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	begin_touch(&micro, &recipe, 250);
	while ((rc = run_touch(&micro, &error)) == VCPU_RING_FULL) {
		full++;
		cr_assert_lt(full, 10);
		count += collect(&micro, seen);
		cr_assert(ring_pressed(micro.vm));
		cr_assert_gt(ring_give_back(micro.vm, &error), 0);
	}
	cr_assert_eq(rc, VCPU_EXIT, "%s", error.message);
	count += collect(&micro, seen);
	cr_assert_gt(full, 0);
	cr_assert_eq(count, 250);
	cr_assert_eq(vcpu_counters(vm_vcpu(micro.vm, 0))->ring_full, full);
	microvm_done(&micro);
}

/* Else the ring stays full, and a vCPU with it never runs again. */
Test(ring, giving_back_can_be_tried_again)
{
	const struct vm_recipe recipe = {.vcpus = 1, .ring_entries = 256};
	struct fault fault = {0};
	struct microvm micro;
	struct lf_error error;
	bool seen[256] = {false};

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	begin_touch(&micro, &recipe, 250);
	cr_assert_eq(run_touch(&micro, &error), VCPU_RING_FULL);
	cr_assert_gt(collect(&micro, seen), 0);
	cr_assert(fault_next(&fault));
	cr_assert_lt(ring_give_back(micro.vm, &error), 0);
	fault_end(&fault);
	cr_assert(fault.hit);
	cr_assert_geq(ring_give_back(micro.vm, &error), 0);
	collect(&micro, seen);
	cr_assert_eq(run_touch(&micro, &error), VCPU_EXIT);
	microvm_done(&micro);
}

Test(vcpu, a_stop_before_the_run_ends_it_at_once)
{
	const struct vm_recipe recipe = {.vcpus = 1};
	struct microvm micro;
	struct lf_exit exit;
	struct vcpu *vcpu;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	microvm_init(&micro, &recipe);
	microvm_code(&micro, spin, sizeof(spin));
	microvm_start(&micro, 0, 3, 0);
	vcpu = vm_vcpu(micro.vm, 0);
	vcpu_stop(vcpu);
	vcpu_stop(vcpu);
	microvm_run(&micro, 0, &exit);
	cr_assert_eq(exit.reason, LF_EXIT_INTERRUPTED);
	/* One that was taken back is none. */
	vcpu_stop(vcpu);
	vcpu_stop_clear(vcpu);
	microvm_code(&micro, (uint8_t[]){DONE}, 2);
	microvm_start(&micro, 0, 3, 0);
	microvm_run(&micro, 0, &exit);
	cr_assert_eq(exit.reason, LF_EXIT_IO);
	microvm_done(&micro);
}

/* Whether a vCPU that goes on and on is interrupted to be looked at. */
static bool
is_looked_at(void)
{
	const struct vm_recipe recipe = {
	    .vcpus = 1, .irqchip = VM_IRQCHIP_LAPIC};
	struct microvm micro;
	struct lf_error error;
	struct vcpu *vcpu;
	bool looked;
	unsigned i;

	microvm_init(&micro, &recipe);
	microvm_code(&micro, spin, sizeof(spin));
	microvm_start(&micro, 0, 3, 0);
	vcpu = vm_vcpu(micro.vm, 0);
	cr_assert_eq(vcpu_set_interrupts(vcpu, VCPU_INTERRUPTS_BLOCK, &error),
	    0, "%s", error.message);
	for (i = 0; i < 200 && vcpu_counters(vcpu)->kicks == 0; i++)
		microvm_run_for(&micro, 50);
	looked = vcpu_counters(vcpu)->kicks > 0;
	microvm_done(&micro);
	return looked;
}

/* The thread that does it is not there after fork(2). */
Test(vcpu, a_child_process_looks_for_halts_itself)
{
	int status;
	pid_t child;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	cr_assert(is_looked_at());
	child = fork();
	if (child == 0)
		_exit(is_looked_at() ? 0 : 1);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
}

Test(vcpu, a_triple_fault_is_a_shutdown)
{
	const struct vm_recipe recipe = {.vcpus = 1};
	struct microvm micro;
	struct lf_exit exit;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	microvm_init(&micro, &recipe);
	microvm_code(&micro, (uint8_t[]){0x0f, 0x0b}, 2);
	microvm_start(&micro, 0, 3, 0);
	microvm_run(&micro, 0, &exit);
	cr_assert_eq(exit.reason, LF_EXIT_SHUTDOWN, "%s", lf_exit_name(&exit));
	cr_assert_str_eq(lf_exit_name(&exit), "shutdown");
	microvm_done(&micro);
}

/* 100 halted vCPUs whose timer has expired: none is given to KVM. */
Test(vcpu, halted_ones_with_interrupts_blocked_never_run)
{
	const struct vm_recipe recipe = {
	    .vcpus = 1, .irqchip = VM_IRQCHIP_LAPIC};
	static struct microvm micro[100];
	struct cpu_state *state;
	struct lf_error error;
	struct lf_exit exit;
	unsigned i, round;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	microvm_init(&micro[0], &recipe);
	microvm_code(&micro[0], spin, sizeof(spin));
	microvm_start(&micro[0], 0, 0, 0);
	state = vcpu_state_new(microvm_device());
	cr_assert_eq(vcpu_state_get(
			 vm_vcpu(micro[0].vm, 0), CPU_GROUP_ALL, state, &error),
	    0);
	state->mp_state = CPU_MP_HALTED;
	cpu_lapic_write(&state->lapic, 0xf0, 0x1ff);
	cpu_lapic_write(&state->lapic, CPU_LAPIC_LVT_TIMER, 0x40);
	/* Vector 0x40 waits in the IRR. */
	cpu_lapic_write(&state->lapic, 0x220, 1);
	for (i = 0; i < 100; i++) {
		struct vcpu *vcpu;

		if (i > 0)
			microvm_init(&micro[i], &recipe);
		vcpu = vm_vcpu(micro[i].vm, 0);
		cr_assert_eq(
		    vcpu_set_interrupts(vcpu, VCPU_INTERRUPTS_BLOCK, &error), 0,
		    "%s", error.message);
		cr_assert_eq(vcpu_state_set(vcpu, CPU_GROUP_ALL, state,
				 vcpu_state_host_tsc(), &error),
		    0, "%s", error.message);
	}
	for (round = 0; round < 5; round++)
		for (i = 0; i < 100; i++) {
			microvm_run(&micro[i], 0, &exit);
			cr_assert_eq(exit.reason, LF_EXIT_IDLE);
		}
	for (i = 0; i < 100; i++) {
		cr_assert_eq(vcpu_counters(vm_vcpu(micro[i].vm, 0))->runs, 0);
		microvm_done(&micro[i]);
	}
	cpu_state_free(state);
}

Test(memslot, memory_is_read_and_written_across_slots_and_holes_refused)
{
	const struct vm_recipe recipe = {.vcpus = 1};
	struct microvm micro;
	struct vm_memslot slot = {.id = 7, .gpa = MICRO_RAM, .length = 8192};
	struct lf_error error;
	uint64_t left;
	char buf[8];

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	microvm_init(&micro, &recipe);
	slot.memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_eq(vm_set_memslot(micro.vm, &slot, &error), 0);
	cr_assert_eq(
	    vm_write(micro.vm, MICRO_RAM - 4, "abcdefgh", 8, &error), 0);
	cr_assert_eq(vm_read(micro.vm, MICRO_RAM - 4, buf, 8, &error), 0);
	cr_assert_arr_eq(buf, "abcdefgh", 8);
	cr_assert_arr_eq(slot.memory, "efgh", 4);
	cr_assert_eq(
	    vm_read(micro.vm, MICRO_RAM + 8190, buf, 8, &error), -EFAULT);
	cr_assert_str_eq(error.message, "no guest memory at 0x202000");
	cr_assert_not_null(vm_memory(micro.vm, MICRO_RAM + 4096, &left, NULL));
	cr_assert_eq(left, 4096);
	/* Overlap is KVM's to refuse. */
	slot.id = 8;
	cr_assert_eq(vm_set_memslot(micro.vm, &slot, &error), -EEXIST);
	cr_assert_str_eq(
	    error.message, "memslot 8, 8192 bytes at 0x200000: File exists");
	slot.id = 7;
	slot.length = 0;
	cr_assert_eq(vm_set_memslot(micro.vm, &slot, &error), 0);
	munmap(slot.memory, 8192);
	microvm_done(&micro);
}

Test(vm, recipes_that_cannot_be_are_refused)
{
	static const struct {
		struct vm_recipe recipe;
		int rc;
		const char *message;
	} bad[] = {
	    {{.vcpus = 0}, -EINVAL, "0 vCPUs: this host can have 1 to "},
	    {{.vcpus = 256}, -EINVAL, "256 vCPUs: this host can have 1 to "},
	    {{.vcpus = 1, .ring_entries = 1000}, -EINVAL,
		"dirty ring of 1000 entries: a power of two from 256 to "},
	};
	struct lf_error error;
	struct vm *vm;
	unsigned i;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(
		    vm_new(microvm_device(), &bad[i].recipe, &vm, &error),
		    bad[i].rc);
		cr_assert_eq(strncmp(error.message, bad[i].message,
				 strlen(bad[i].message)),
		    0, "%s", error.message);
	}
}

Test(vm, every_failing_call_is_reported_and_leaks_nothing)
{
	const struct vm_recipe recipe = {
	    .vcpus = 2, .irqchip = VM_IRQCHIP_LAPIC, .ring_entries = 256};
	const struct kvm_device *device;
	struct vm *vm = NULL;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	device = microvm_device();
	FAULT_LOOP(fault)
	{
		struct lf_error error = {0};
		int rc = vm_new(device, &recipe, &vm, &error);

		fault_end(&fault);
		if (rc == 0)
			vm_free(vm);
		else
			cr_assert_neq(error.message[0], '\0');
		/* KVM_GET_TSC_KHZ may fail: then nothing is known of it. */
		if (!fault.hit)
			cr_assert_eq(rc, 0, "%s", error.message);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors);
		cr_assert_lt(fault.round, 200);
	}
}

Test(device, every_failing_call_is_reported_and_leaks_nothing)
{
	struct kvm_device *device;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	FAULT_LOOP(fault)
	{
		struct lf_error error = {0};
		int rc = kvm_device_open(KVM_DEVICE_PATH, &device, &error);

		fault_end(&fault);
		if (rc == 0)
			kvm_device_free(device);
		else
			cr_assert_neq(error.message[0], '\0');
		if (!fault.hit)
			cr_assert_eq(rc, 0, "%s", error.message);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors);
		cr_assert_lt(fault.round, 1000);
	}
}

Test(host, no_kvm_is_an_answer)
{
	struct lf_host host;
	struct lf_error error;
	char reason[300];

	cr_assert_eq(
	    lf_host_probe_device("/nonexistent/kvm", &host, &error), 0);
	cr_assert_eq(host.kvm, LF_HOST_KVM_ABSENT);
	cr_assert_eq(host.fact[LF_HOST_KVM].grade, LF_HOST_MISSING);
	cr_assert_not(lf_host_prefers_kvm(&host, reason, sizeof(reason)));
	cr_assert_not_null(
	    strstr(reason, "/nonexistent/kvm is not there"), "%s", reason);
	cr_assert_eq(lf_host_probe_device("/dev/null", &host, &error), 0);
	cr_assert_eq(host.kvm, LF_HOST_KVM_BROKEN);
}

Test(host, a_kvm_that_may_not_be_opened_is_denied)
{
	char path[] = "/tmp/xlfork-kvm-XXXXXX";
	struct lf_host host;
	struct lf_error error;
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	close(fd);
	cr_assert_eq(chmod(path, 0), 0);
	/* Root may open everything: not this test's process from here on. */
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	cr_assert_eq(lf_host_probe_device(path, &host, &error), 0);
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
	unlink(path);
	cr_assert_eq(host.kvm, LF_HOST_KVM_DENIED);
	cr_assert_str_eq(lf_host_kvm_name(host.kvm), "not permitted");
	cr_assert_not_null(
	    strstr(host.fact[LF_HOST_KVM].text, "no permission for KVM"));
}

Test(host, the_probe_says_something_about_every_fact)
{
	struct lf_host host;
	struct lf_error error;
	unsigned i;

	cr_assert_eq(lf_host_probe(&host, &error), 0, "%s", error.message);
	for (i = 0; i < LF_HOST_FACT_COUNT; i++) {
		cr_assert_not_null(host.fact[i].name);
		cr_assert_neq(
		    host.fact[i].text[0], '\0', "%s", host.fact[i].name);
	}
	if (host.kvm == LF_HOST_KVM_HARDWARE)
		cr_assert_gt(host.guest_rate, host.native_rate / 10);
	else if (host.kvm == LF_HOST_KVM_SOFTWARE)
		cr_assert_lt(host.guest_rate, host.native_rate / 10);
}
