/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The code of the guest of micro.h; position independent. */
	.section .rodata
	.globl micro_code, micro_code_end
	.globl micro_entry_0, micro_entry_1, micro_entry_2
	.globl micro_entry_3, micro_entry_4, micro_entry_5, micro_entry_6
	.code64
	.balign 16
micro_code:
micro_entry_0:			/* MICRO_WRITES */
	mov	%rbx, %r12
1:	mov	0(%r12), %rdi
	mov	8(%r12), %rcx
	mov	16(%r12), %rax
	test	%rcx, %rcx
	jz	2f
	rep stosb
	add	$24, %r12
	jmp	1b
2:	out	%al, $0x80
	jmp	micro_entry_0

	.balign 16
micro_entry_1:			/* MICRO_TOUCH */
	mov	%rdi, %r13
	mov	%rcx, %r12
	test	%r12, %r12
	jz	2f
1:	mov	%rax, (%r13)
	add	%rsi, %r13
	dec	%r12
	jnz	1b
2:	inc	%rax
	out	%al, $0x80
	jmp	micro_entry_1

	.balign 16
micro_entry_2:			/* MICRO_COUNT */
	incq	(%rdi)
	jmp	micro_entry_2

	.balign 16
micro_entry_3:			/* MICRO_IN */
	in	$0x80, %al
	movzbl	%al, %eax
	mov	%rax, (%rdi)
	out	%al, $0x80
	jmp	micro_entry_3

	.balign 16
micro_entry_4:			/* MICRO_CRASH */
	hlt

	.balign 16
micro_entry_5:			/* MICRO_FPU */
	fld1
	fldpi
	movq	%rbx, %xmm0
	punpcklqdq %xmm0, %xmm0
	movdqa	%xmm0, %xmm15
	std
	out	%al, $0x80
	cld
	jmp	micro_entry_5

	.balign 16
micro_entry_6:			/* MICRO_TOUCH_AT */
	mov	(%rbx), %rdi
	jmp	micro_entry_1
micro_code_end:
	.section .note.GNU-stack,"",@progbits
