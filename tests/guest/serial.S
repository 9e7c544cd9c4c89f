/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the firmware guests say on the first serial port, in real mode. Who
 * includes it defines COM1 and `status`, which gives the line's status in %al
 * and may change %dx.
 */
/* The string at cs:si. */
print:
	lodsb	%cs:(%si), %al
	testb	%al, %al
	jz	1f
	call	put
	jmp	print
1:	ret

/* %al. */
put:	pushw	%dx
	pushw	%ax
1:	call	status
	testb	$0x20, %al
	jz	1b
	popw	%ax
	movw	$COM1, %dx
	outb	%al, %dx
	popw	%dx
	ret

/* %eax in decimal. */
print_number:
	movl	$10, %ebx
	xorw	%cx, %cx
1:	xorl	%edx, %edx
	divl	%ebx
	pushw	%dx
	incw	%cx
	testl	%eax, %eax
	jnz	1b
2:	popw	%ax
	addb	$'0', %al
	call	put
	decw	%cx
	jnz	2b
	ret
