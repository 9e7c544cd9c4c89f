/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making micro-guests' VMs.
 */
#include "lib/microvm.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <libfork/host.h>

#include "cpu/arch.h"

/* Accessed and dirty already, so that running changes no entry. */
#define PTE_TABLE 0x27UL
#define PTE_PAGE  0xe7UL

#define CR0_BITS  0x80050033UL /* PG, AM, WP, NE, ET, MP, PE */
#define CR4_BITS  0x620UL      /* PAE, OSFXSR, OSXMMEXCPT */

/* Hands the answer to the processes in which Criterion runs the tests. */
#define ENV_KIND "LF_TEST_KVM_KIND"
#define ENV_TEXT "LF_TEST_KVM_TEXT"

static enum lf_host_kvm kind;
static const char *text;

__attribute__((constructor)) static void
probe(void)
{
	struct lf_host host;
	struct lf_error error;
	char number[12];

	if (getenv(ENV_KIND) == NULL) {
		if (lf_host_probe(&host, &error) < 0) {
			fprintf(stderr, "%s\n", error.message);
			abort();
		}
		snprintf(number, sizeof(number), "%d", host.kvm);
		setenv(ENV_KIND, number, 1);
		setenv(ENV_TEXT, host.fact[LF_HOST_KVM].text, 1);
	}
	kind = atoi(getenv(ENV_KIND));
	text = getenv(ENV_TEXT);
}

const char *
microvm_why_not(void)
{
	bool there =
	    kind == LF_HOST_KVM_HARDWARE || kind == LF_HOST_KVM_SOFTWARE;

	return there ? "" : text;
}

const char *
microvm_why_not_native(void)
{
	return kind == LF_HOST_KVM_HARDWARE ? "" : text;
}

static void
must(int rc, const struct lf_error *error)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "micro-guest: %s\n", error->message);
	abort();
}

const struct kvm_device *
microvm_device(void)
{
	const struct kvm_device *device;
	struct lf_error error;

	must(kvm_device_get(&device, &error), &error);
	return device;
}

static void
put(struct microvm *micro, uint64_t gpa, uint64_t value)
{
	memcpy(micro->ram + gpa, &value, sizeof(value));
}

static void
fill_tables(struct microvm *micro)
{
	uint64_t i;

	put(micro, MICRO_PML4, MICRO_PDPT | PTE_TABLE);
	for (i = 0; i < 4; i++)
		put(micro, MICRO_PDPT + 8 * i,
		    (MICRO_PD + 0x1000 * i) | PTE_TABLE);
	for (i = 0; i < 4 * 512; i++)
		put(micro, MICRO_PD + 8 * i, i << 21 | PTE_PAGE);
	put(micro, MICRO_GDT + MICRO_KERNEL_CS, 0x00af9b000000ffff);
	put(micro, MICRO_GDT + MICRO_KERNEL_DS, 0x00cf93000000ffff);
	put(micro, MICRO_GDT + (MICRO_USER_DS & ~7), 0x00cff3000000ffff);
	put(micro, MICRO_GDT + (MICRO_USER_CS & ~7), 0x00affb000000ffff);
	put(micro, MICRO_GDT + MICRO_TR,
	    0x00008b0000002067 | (uint64_t)MICRO_TSS << 16);
	/* Port bitmap behind the TSS proper. */
	micro->ram[MICRO_TSS + 102] = 104;
}

/* CPUID 0xd, leaf 2: EAX is the part's size, EBX its place. */
uint32_t
microvm_avx_offset(void)
{
	const struct cpu_cpuid_entry *part =
	    cpu_cpuid_find(&microvm_device()->cpuid, 0xd, 2);

	return part != NULL && part->eax == 256 ? part->ebx : 0;
}

void
microvm_init(struct microvm *micro, const struct vm_recipe *recipe)
{
	struct vm_memslot slot = {.length = MICRO_RAM};
	struct lf_error error;

	micro->ram = mmap(NULL, MICRO_RAM, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (micro->ram == MAP_FAILED)
		abort();
	fill_tables(micro);
	must(vm_new(microvm_device(), recipe, &micro->vm, &error), &error);
	slot.memory = micro->ram;
	if (recipe->ring_entries != 0)
		slot.flags = VM_MEMSLOT_LOG;
	must(vm_set_memslot(micro->vm, &slot, &error), &error);
}

void
microvm_clear(struct microvm *micro)
{
	madvise(micro->ram, MICRO_RAM, MADV_DONTNEED);
	fill_tables(micro);
}

void
microvm_done(struct microvm *micro)
{
	vm_free(micro->vm);
	munmap(micro->ram, MICRO_RAM);
}

void
microvm_code(struct microvm *micro, const void *code, size_t len)
{
	memcpy(micro->ram + MICRO_IMAGE, code, len);
}

void
microvm_load(struct microvm *micro, const char *name)
{
	char path[512];
	FILE *file;
	size_t len;

	snprintf(path, sizeof(path), "%s/%s.micro", MICRO_DIR, name);
	file = fopen(path, "re");
	if (file == NULL) {
		perror(path);
		abort();
	}
	len = fread(
	    micro->ram + MICRO_IMAGE, 1, MICRO_SHARED - MICRO_IMAGE, file);
	fclose(file);
	if (len == 0)
		abort();
}

static struct cpu_segment
segment(unsigned selector, unsigned type, bool code)
{
	return (struct cpu_segment){
	    .limit = 0xffffffff,
	    .selector = selector,
	    .type = type,
	    .present = 1,
	    .dpl = selector & 3,
	    .db = !code,
	    .s = 1,
	    .l = code,
	    .g = 1,
	};
}

void
microvm_start(
    struct microvm *micro, unsigned index, unsigned cpl, uint64_t argument)
{
	struct vcpu *vcpu = vm_vcpu(micro->vm, index);
	struct cpu_state *state = vcpu_state_new(microvm_device());
	struct cpu_segment data =
	    segment(cpl == 0 ? MICRO_KERNEL_DS : MICRO_USER_DS, 3, false);
	struct cpu_sregs *sregs = &state->sregs;
	struct lf_error error;

	must(vcpu_state_get(vcpu,
		 CPU_GROUP_MP_STATE | CPU_GROUP_SREGS | CPU_GROUP_EVENTS, state,
		 &error),
	    &error);
	sregs->cs =
	    segment(cpl == 0 ? MICRO_KERNEL_CS : MICRO_USER_CS, 0xb, true);
	sregs->ds = sregs->es = sregs->ss = sregs->fs = sregs->gs = data;
	sregs->tr = (struct cpu_segment){
	    .base = MICRO_TSS,
	    .limit = 0x2067,
	    .selector = MICRO_TR,
	    .type = 11,
	    .present = 1,
	};
	sregs->gdt.base = MICRO_GDT;
	sregs->gdt.limit = 0x4f;
	sregs->idt.base = MICRO_IDT;
	sregs->idt.limit = 0xfff;
	sregs->cr0 = CR0_BITS;
	sregs->cr3 = MICRO_PML4;
	sregs->cr4 = CR4_BITS;
	sregs->efer = EFER_LME | EFER_LMA;
	state->mp_state = CPU_MP_RUNNABLE;
	state->regs = (struct cpu_regs){
	    .rip = MICRO_IMAGE,
	    .rsp = MICRO_STACKS + 0x1000UL * (index + 1),
	    .rflags = RFLAGS_FIXED | RFLAGS_IOPL,
	    .rdi = index,
	    .rsi = argument,
	};
	state->groups |= CPU_GROUP_REGS;
	must(vcpu_state_set(
		 vcpu, state->groups, state, vcpu_state_host_tsc(), &error),
	    &error);
	cpu_state_free(state);
}

void
microvm_run(struct microvm *micro, unsigned index, struct lf_exit *exit)
{
	struct lf_error error;
	int rc = vcpu_run(vm_vcpu(micro->vm, index), exit, &error);

	must(rc, &error);
}

struct runner {
	pthread_t thread;
	struct vcpu *vcpu;
	bool stopped;
};

/* Exits that are not the stop are nobody's: answered and gone on. */
static void *
run_thread(void *opaque)
{
	struct runner *runner = opaque;
	struct lf_exit exit;
	struct lf_error error;

	do {
		must(vcpu_run(runner->vcpu, &exit, &error), &error);
		if (vcpu_access_pending(runner->vcpu))
			must(vcpu_answer_nobody(runner->vcpu, &error), &error);
	} while (exit.reason == LF_EXIT_IO || exit.reason == LF_EXIT_MMIO);
	runner->stopped = exit.reason == LF_EXIT_INTERRUPTED;
	return NULL;
}

static void
sleep_ms(unsigned milliseconds)
{
	struct timespec time = {
	    milliseconds / 1000, milliseconds % 1000 * 1000000L};

	nanosleep(&time, NULL);
}

struct gang {
	unsigned count;
	struct runner *runner;
};

static void
start_all(struct gang *gang, struct microvm *micro)
{
	unsigned i;

	gang->count = vm_vcpu_count(micro->vm);
	gang->runner = calloc(gang->count, sizeof(*gang->runner));
	for (i = 0; i < gang->count; i++) {
		struct runner *runner = &gang->runner[i];

		runner->vcpu = vm_vcpu(micro->vm, i);
		if (pthread_create(&runner->thread, NULL, run_thread, runner) !=
		    0)
			abort();
	}
}

static void
stop_all(struct gang *gang)
{
	unsigned i;

	for (i = 0; i < gang->count; i++)
		vcpu_stop(gang->runner[i].vcpu);
	for (i = 0; i < gang->count; i++)
		pthread_join(gang->runner[i].thread, NULL);
	for (i = 0; i < gang->count; i++)
		if (!gang->runner[i].stopped)
			vcpu_stop_clear(gang->runner[i].vcpu);
	free(gang->runner);
}

void
microvm_run_for(struct microvm *micro, unsigned milliseconds)
{
	struct gang gang;

	start_all(&gang, micro);
	sleep_ms(milliseconds);
	stop_all(&gang);
}

bool
microvm_run_until(
    struct microvm *micro, volatile uint64_t *counter, uint64_t wanted)
{
	struct gang gang;
	unsigned i;

	start_all(&gang, micro);
	for (i = 0; i < 24000 && *counter <= wanted; i++)
		sleep_ms(5);
	stop_all(&gang);
	return *counter > wanted;
}

void
microvm_fork(struct microvm *fork, struct microvm *parent,
    const struct vm_recipe *recipe, enum vcpu_interrupts interrupts)
{
	struct cpu_state *state = vcpu_state_new(microvm_device());
	uint64_t host_tsc = vcpu_state_host_tsc();
	struct lf_error error;
	unsigned i;

	microvm_init(fork, recipe);
	for (i = 0; i < recipe->vcpus; i++) {
		struct vcpu *vcpu = vm_vcpu(fork->vm, i);

		must(vcpu_set_interrupts(vcpu, interrupts, &error), &error);
		must(vcpu_state_get(
			 vm_vcpu(parent->vm, i), CPU_GROUP_ALL, state, &error),
		    &error);
		must(vcpu_state_set(
			 vcpu, CPU_GROUP_ALL, state, host_tsc, &error),
		    &error);
	}
	memcpy(fork->ram, parent->ram, MICRO_RAM);
	cpu_state_free(state);
}
