/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The busy guest: a firmware image of 64 KiB that says BOOTED on the first
 * serial port and then counts, without halting and without any interrupt, so
 * that it also runs where no device is. Every so often it says "tick N". The
 * count is in RAM (four bytes at 0x7000), and is written to eight pages from
 * 0x8000 on in turn. It takes orders from the serial port:
 *
 *   S  says "silent", and never touches a device again
 *   X  says "armed": where the serial port is not there any more, jumps to
 *      where no memory is
 *   T  the same, but there it faults without a table of handlers; in protected
 *      mode, since in real mode not every KVM looks at the table's limit
 *
 * Runs on any PC machine type, with one vCPU, in real mode.
 */
	.code16
	.text
	.set	COM1, 0x3f8
	.set	COUNT, 0x7000
	.set	SILENT, 0x7008
	.set	ARMED, 0x7009
	.set	PAGES, 0x8000
	.set	PAGE_SHIFT, 12
	.set	LOOPS, 0x800
	.set	NOWHERE, 0xe0000000

	.globl	_start
_start:
	cli
	cld
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movw	$0x7000, %sp
	movl	$0, COUNT
	movw	$0, SILENT
	movw	$COM1 + 3, %dx		/* 8N1; the speed is what it is */
	movb	$3, %al
	outb	%al, %dx
	movw	$booted, %si
	call	print

loop:
	movl	$LOOPS, %ecx
1:	decl	%ecx
	jnz	1b
	incl	COUNT
	movl	COUNT, %eax
	movw	%ax, %bx
	andw	$7, %bx
	shlw	$PAGE_SHIFT, %bx
	movl	%eax, PAGES(%bx)
	cmpb	$0, SILENT
	jne	loop
	testb	$7, %al
	jnz	loop

	movw	$tick, %si
	call	print
	movl	COUNT, %eax
	call	print_number
	movb	$'\n', %al
	call	put
	call	status
	testb	$1, %al
	jz	loop
	movw	$COM1, %dx
	inb	%dx, %al
	cmpb	$'S', %al
	je	silent
	cmpb	$'X', %al
	je	1f
	cmpb	$'T', %al
	jne	loop
1:	movb	%al, ARMED
	movw	$armed, %si
	call	print
	jmp	loop

silent:
	movw	$silenced, %si
	call	print
	movb	$1, SILENT
	jmp	loop

/* The line's status in %al. All ones: nobody is there. */
status:
	movw	$COM1 + 5, %dx
	inb	%dx, %al
	cmpb	$0xff, %al
	jne	1f
	cmpb	$'T', ARMED
	je	2f
	cmpb	$'X', ARMED
	jne	1f
	call	protect
	ljmpl	$8, $NOWHERE
1:	ret
2:	call	protect
	lidtl	%cs:no_handlers
	ud2

/* To protected mode, where addresses are longer and handlers have gates. */
protect:
	lgdtl	%cs:gdt_pointer
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ret

	.include "serial.S"

	.balign	8
gdt:	.quad	0
	.quad	0x00cf9a000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	0xf0000 + gdt

no_handlers:
	.word	0
	.long	0

booted:	.asciz	"BOOTED\n"
tick:	.asciz	"tick "
silenced: .asciz "silent\n"
armed:	.asciz	"armed\n"

	.org	0xfff0
	ljmp	$0xf000, $_start
	.org	0x10000, 0
