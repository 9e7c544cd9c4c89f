/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where guests in C are entered: the stack is there already, vCPU number and
 * argument are in RDI and RSI, as the C calling convention has them.
 */
	.section .start, "ax"
	.code64
	.globl	start
start:	cld
	call	guest_main
1:	hlt
	jmp	1b
	.section .note.GNU-stack, "", @progbits
