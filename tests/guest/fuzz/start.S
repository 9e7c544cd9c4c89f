/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Entry of a program without operating system: free memory is from RDI to RSI,
 * as the C calling convention has arguments.
 */
	.text
	.globl	_start
_start:	cld
	xor	%ebp, %ebp
	call	guest_main
1:	hlt
	jmp	1b
	.section .note.GNU-stack, "", @progbits
