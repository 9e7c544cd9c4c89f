/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The boot-less guest: a firmware image of 64 KiB that says BOOTED on the
 * first serial port a few milliseconds after power-on, then "tick N" every
 * 0.2 s, and "got C" for every byte C that it receives. At the power button it
 * says "off" and is. Runs on any PC machine type, with one vCPU, in real mode.
 *
 * The count is in RAM (four bytes at 0x7000), so it goes on in a fork. Between
 * ticks the vCPU halts. The timer runs at 20 Hz, four interrupts to a tick.
 */
	.code16
	.text
	.set	COM1, 0x3f8
	.set	COUNT, 0x7000
	.set	IRQS_PER_TICK, 4
	.set	APIC_LINT0, 0xfee00350
	.set	APIC_EXTINT, 0x700
	.set	IA32_APIC_BASE, 0x1b
	.set	APIC_ENABLE, 1 << 11
	.set	TCG_SIGNATURE, 0x54474354
	.set	PIT_HZ, 1193182
	.set	CONFIG_ADDRESS, 0xcf8
	.set	CONFIG_DATA, 0xcfc
	.set	PIIX4, 0x80000b00	/* its power management, 00:01.3 */
	.set	ICH9, 0x8000f800	/* 00:1f.0 */
	.set	PM_PORTS, 0x600
	.set	PM_BUTTON, 0x100
	.set	PM_OFF, 0x2000

	.globl	_start
_start:
	cli
	cld
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movw	$0x7000, %sp
	movl	$0, COUNT

	/* 115200 baud, 8N1, FIFO on; received bytes are polled. */
	movw	$serial_setup, %si
	call	write_ports

	/* The local APIC masks the other controllers' line at reset. KVM lets
	 * the line through when the APIC is switched off. QEMU's own APIC does
	 * not, so under TCG its LINT0 register is set: it lies above 1 MiB,
	 * thus fs gets a limit of 4 GiB, which needs a moment in protected
	 * mode; a software KVM may be unable to do that. */
	movl	$0x40000000, %eax
	cpuid
	cmpl	$TCG_SIGNATURE, %ebx
	je	1f
	movl	$IA32_APIC_BASE, %ecx
	rdmsr
	andl	$~APIC_ENABLE, %eax
	wrmsr
	jmp	4f
1:	lgdtl	%cs:gdt_pointer
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmp	$16, $2f
2:	movw	$8, %bx
	movw	%bx, %fs
	andb	$~1, %al
	movl	%eax, %cr0
	ljmp	$0xf000, $3f
3:
	movl	$APIC_LINT0, %ebx
	movl	$APIC_EXTINT, %fs:(%ebx)
4:

	/* Interrupt controllers: vectors from 0x20, the timer's line only. */
	movw	$pic_setup, %si
	call	write_ports
	movw	$timer, 4 * 0x20
	movw	$0xf000, 4 * 0x20 + 2

	call	button_setup
	movw	$booted, %si
	call	print
	xorw	%bp, %bp		/* interrupts since the last tick */

loop:
	sti
	hlt
	cli
	call	status
	testb	$1, %al
	jz	1f
	movw	$COM1, %dx
	inb	%dx, %al
	movb	%al, %bl
	movw	$got, %si
	call	print
	movb	%bl, %al
	call	put
	call	newline
1:	cmpw	$IRQS_PER_TICK, %bp
	jb	loop
	xorw	%bp, %bp
	incl	COUNT
	movw	$tick, %si
	call	print
	movl	COUNT, %eax
	call	print_number
	call	newline
	movw	$PM_PORTS, %dx
	inw	%dx, %ax
	cmpw	$0xffff, %ax		/* nothing is there */
	je	loop
	testw	$PM_BUTTON, %ax
	jz	loop
	movw	$off, %si
	call	print
	movw	$PM_PORTS + 4, %dx
	movw	$PM_OFF, %ax
	outw	%ax, %dx
	jmp	loop

timer:
	pushw	%ax
	incw	%bp
	movb	$0x20, %al
	outb	%al, $0x20
	popw	%ax
	iretw

/* Pairs of port and byte at cs:si, ended by port 0. */
write_ports:
	lodsw	%cs:(%si), %ax
	testw	%ax, %ax
	jz	1f
	movw	%ax, %dx
	lodsb	%cs:(%si), %al
	outb	%al, %dx
	jmp	write_ports
1:	ret

/* The chip that has the button gets its ports and tells of it. */
button_setup:
	movw	$chips, %si
1:	movl	%cs:(%si), %eax
	testl	%eax, %eax
	jz	2f
	call	select
	inl	%dx, %eax
	cmpl	%cs:4(%si), %eax
	je	3f
	addw	$CHIP_BYTES, %si
	jmp	1b
3:	movl	%cs:8(%si), %eax
	call	select
	movl	$PM_PORTS + 1, %eax
	outl	%eax, %dx
	movl	%cs:12(%si), %eax
	call	select
	inl	%dx, %eax
	orl	%cs:16(%si), %eax
	outl	%eax, %dx
	movw	$PM_PORTS + 2, %dx
	movw	$PM_BUTTON, %ax
	outw	%ax, %dx
2:	ret

/* Register %eax of a PCI device is then behind port %dx. */
select:
	movw	$CONFIG_ADDRESS, %dx
	outl	%eax, %dx
	movw	$CONFIG_DATA, %dx
	ret

newline:
	movb	$'\n', %al
	jmp	put

/* The line's status in %al. */
status:
	movw	$COM1 + 5, %dx
	inb	%dx, %al
	ret

	.include "serial.S"

	.macro	port number, byte
	.word	\number
	.byte	\byte
	.endm

serial_setup:
	port	COM1 + 1, 0
	port	COM1 + 3, 0x80
	port	COM1 + 0, 1
	port	COM1 + 1, 0
	port	COM1 + 3, 3
	port	COM1 + 2, 7
	port	COM1 + 4, 3
	.word	0

pic_setup:
	port	0x20, 0x11
	port	0x21, 0x20
	port	0x21, 4
	port	0x21, 1
	port	0xa0, 0x11
	port	0xa1, 0x28
	port	0xa1, 2
	port	0xa1, 1
	port	0x21, 0xfe
	port	0xa1, 0xff
	port	0x43, 0x34
	port	0x40, (PIT_HZ / 20) & 0xff
	port	0x40, (PIT_HZ / 20) >> 8
	.word	0

	.balign	4
/* Where a chip is, what it is, where its ports are set and switched on. */
chips:	.long	PIIX4, 0x71138086, PIIX4 + 0x40, PIIX4 + 0x80, 1
	.set	CHIP_BYTES, . - chips
	.long	ICH9, 0x29188086, ICH9 + 0x40, ICH9 + 0x44, 0x80
	.long	0

	.balign	8
gdt:	.quad	0
	.quad	0x00cf92000000ffff
	.quad	0x00009a0f0000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	0xf0000 + gdt

booted:	.asciz	"BOOTED\n"
tick:	.asciz	"tick "
got:	.asciz	"got "
off:	.asciz	"off\n"

	.org	0xfff0
	ljmp	$0xf000, $_start
	.org	0x10000, 0
