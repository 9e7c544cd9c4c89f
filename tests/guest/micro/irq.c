/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interrupts at CPL 0: an IDT, the local APIC's timer, IPIs and NMIs to itself
 * and to other vCPUs, page faults, TLB shootdown.
 */
#include "guest/micro/irq.h"
#include "guest/micro/layout.h"

#define VECTOR_FAULT    14
#define VECTOR_NMI      2
#define VECTOR_TIMER    0x40
#define VECTOR_IPI      0x50
#define VECTOR_SHOOT    0x51
#define VECTOR_SPURIOUS 0xff

#define LAPIC_ID        0x20
#define LAPIC_EOI       0xb0
#define LAPIC_SVR       0xf0
#define LAPIC_ICR       0x300
#define LAPIC_ICR_HIGH  0x310
#define LAPIC_TIMER     0x320
#define LAPIC_INITIAL   0x380
#define LAPIC_DIVIDE    0x3e0

#define ICR_ASSERT      0x4000
#define ICR_NMI         0x400
#define TIMER_PERIOD    0x20000

/* Not mapped: the guest's tables end at 4 GiB. */
#define NOWHERE 0x100000000UL

/* Mapped by a table of its own, to one of two pages at MICRO_FREE. */
#define WINDOW         0x140000000UL
#define WINDOW_PD      (MICRO_FREE + 0x4000UL)
#define WINDOW_PT      (MICRO_FREE + 0x5000UL)
#define WINDOW_PAGE(n) (MICRO_FREE + ((n)&1) * 0x1000UL)

#define shared         ((struct irq_shared *)MICRO_SHARED)

struct frame {
	uint64_t ip, cs, flags, sp, ss;
};

static uint32_t
lapic_read(unsigned reg)
{
	return *(volatile uint32_t *)(uint64_t)(MICRO_LAPIC + reg);
}

static void
lapic_write(unsigned reg, uint32_t value)
{
	*(volatile uint32_t *)(uint64_t)(MICRO_LAPIC + reg) = value;
}

static struct irq_cpu *
me(void)
{
	return &shared->cpu[lapic_read(LAPIC_ID) >> 24];
}

__attribute__((interrupt)) static void
on_timer(struct frame *frame)
{
	(void)frame;
	me()->timer++;
	lapic_write(LAPIC_EOI, 0);
}

__attribute__((interrupt)) static void
on_ipi(struct frame *frame)
{
	(void)frame;
	me()->ipi++;
	lapic_write(LAPIC_EOI, 0);
}

__attribute__((interrupt)) static void
on_shoot(struct frame *frame)
{
	(void)frame;
	__asm__ volatile("invlpg (%0)" : : "r"(WINDOW) : "memory");
	me()->ipi++;
	shared->acks++;
	lapic_write(LAPIC_EOI, 0);
}

__attribute__((interrupt)) static void
on_nmi(struct frame *frame)
{
	(void)frame;
	me()->nmi++;
}

/* The faulting instruction is always the three bytes of fault(). */
__attribute__((interrupt)) static void
on_fault(struct frame *frame, uint64_t code)
{
	(void)code;
	me()->fault++;
	frame->ip += 3;
}

__attribute__((interrupt)) static void
on_spurious(struct frame *frame)
{
	(void)frame;
}

static void
fault(void)
{
	uint64_t value = NOWHERE;

	__asm__ volatile(".byte 0x48, 0x8b, 0x00" : "+a"(value));
}

static void
set_gate(unsigned vector, void *handler)
{
	volatile uint64_t *gate = (uint64_t *)(MICRO_IDT + 16UL * vector);
	uint64_t at = (uint64_t)handler;

	gate[0] = (at & 0xffff) | (uint64_t)MICRO_KERNEL_CS << 16 |
		  0x8eUL << 40 | (at & 0xffff0000) << 32;
	gate[1] = at >> 32;
}

static void
prepare(void)
{
	static struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idt = {16 * 256 - 1, MICRO_IDT};

	set_gate(VECTOR_FAULT, on_fault);
	set_gate(VECTOR_NMI, on_nmi);
	set_gate(VECTOR_TIMER, on_timer);
	set_gate(VECTOR_IPI, on_ipi);
	set_gate(VECTOR_SHOOT, on_shoot);
	set_gate(VECTOR_SPURIOUS, on_spurious);
	__asm__ volatile("lidt %0" : : "m"(idt));
	lapic_write(LAPIC_SVR, 0x100 | VECTOR_SPURIOUS);
}

static void
done(void)
{
	__asm__ volatile("outb %%al, %0" : : "i"(MICRO_DONE_PORT));
}

static void
arm(void)
{
	lapic_write(LAPIC_DIVIDE, 0xb);
	lapic_write(LAPIC_TIMER, TIMER_PERIOD | VECTOR_TIMER);
	lapic_write(LAPIC_INITIAL, IRQ_TIMER_COUNT);
}

static void
send(unsigned cpu, uint32_t what)
{
	lapic_write(LAPIC_ICR_HIGH, cpu << 24);
	lapic_write(LAPIC_ICR, ICR_ASSERT | what);
}

static void
ping(void)
{
	for (;;) {
		uint64_t before = shared->cpu[1].ipi;

		send(1, VECTOR_IPI);
		while (shared->cpu[1].ipi == before)
			__asm__ volatile("pause");
		shared->rounds++;
	}
}

/*
 * Each round maps the other page, tells vCPU 1 to drop its translation, waits
 * for that, and only then marks the old page as gone.
 */
static void
shootdown(void)
{
	volatile uint64_t *entry = (uint64_t *)WINDOW_PT;

	for (;;) {
		uint64_t next = shared->page + 1;

		*(volatile uint64_t *)WINDOW_PAGE(next) = next;
		*entry = WINDOW_PAGE(next) | 3;
		shared->acks = 0;
		send(1, VECTOR_SHOOT);
		while (shared->acks == 0)
			__asm__ volatile("pause");
		*(volatile uint64_t *)WINDOW_PAGE(next - 1) = ~0UL;
		shared->page = next;
		shared->rounds++;
	}
}

static void
map_window(void)
{
	volatile uint64_t *pdpt = (uint64_t *)MICRO_PDPT;

	*(volatile uint64_t *)WINDOW_PT = WINDOW_PAGE(0) | 3;
	*(volatile uint64_t *)WINDOW_PD = WINDOW_PT | 3;
	pdpt[WINDOW >> 30] = WINDOW_PD | 3;
}

void guest_main(uint64_t cpu, uint64_t job);

void
guest_main(uint64_t cpu, uint64_t job)
{
	struct irq_cpu *counters = &shared->cpu[cpu];

	prepare();
	if (job == IRQ_ARM || job == IRQ_ARM_HALT)
		arm();
	if (job == IRQ_SHOOTDOWN || job == IRQ_READER)
		map_window();
	done();
	__asm__ volatile("sti");
	switch (job) {
	case IRQ_ARM_HALT:
		for (;;) {
			__asm__ volatile("sti; hlt");
			counters->wakeups++;
		}
	case IRQ_SELF:
		send(cpu, VECTOR_IPI);
		send(cpu, ICR_NMI);
		fault();
		break;
	case IRQ_PING:
		ping();
		break;
	case IRQ_SHOOTDOWN:
		shootdown();
		break;
	}
	for (;;) {
		counters->loops++;
		if (job == IRQ_FAULTS || job == IRQ_ARM)
			fault();
		if (job == IRQ_READER && *(volatile uint64_t *)WINDOW == ~0UL)
			shared->stale++;
	}
}
