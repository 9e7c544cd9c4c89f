/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The probe guest: 16-bit code in a firmware image that tells what a vCPU of
 * exactly this QEMU sees as its CPU. It writes records to debug port 0xe9:
 *
 *	'C' leaf subleaf eax ebx ecx edx	a CPUID leaf that is not all 0
 *	'M' index low high			a feature MSR that can be read
 *	'E'					the end
 *
 * every number 32 bits, little-endian. cpuid_probe.c puts the code at F000:0000
 * of a 64 KiB image, with a jump to it at the reset vector. The code is data of
 * the library: it has no relocations, offsets are computed from its beginning.
 */
	.section .rodata
	.code16
	.global cpuid_guest_begin
	.hidden cpuid_guest_begin
	.global cpuid_guest_bytes
	.hidden cpuid_guest_bytes

	.set DEBUG_PORT, 0xe9
	.set SEGMENT, 0xf000
	.set STACK, 0x7000
	.set VECTOR_GP, 13 * 4

cpuid_guest_begin:
	cli
	xorw	%ax, %ax
	movw	%ax, %ss
	movw	$STACK, %sp
	movw	%ax, %ds
	/* An MSR that is not there is a #GP. */
	movw	$(on_gp - cpuid_guest_begin), VECTOR_GP
	movw	$SEGMENT, VECTOR_GP + 2

	xorl	%esi, %esi
	movl	$0xe195a890, %ebp	/* leaves 4 7 b d f 10 12 14 .. 1f */
	call	range
	movl	$0x40000000, %esi
	xorl	%ebp, %ebp
	call	range
	/* KVM's own leaves stand here when Hyper-V's are on. */
	movl	$0x40000100, %esi
	xorl	%ebp, %ebp
	call	range
	movl	$0x80000000, %esi
	movl	$0x20000000, %ebp	/* leaf 8000001d */
	call	range

	/* The list of MSRs, read from this segment. */
	movw	$(msrs - cpuid_guest_begin), %bx
next_msr:
	movl	%cs:(%bx), %ecx
	jecxz	done
	addw	$4, %bx
	rdmsr
	movl	%eax, %esi
	movl	%edx, %edi
	movb	$'M', %al
	out	%al, $DEBUG_PORT
	movl	%ecx, %eax
	call	number
	movl	%esi, %eax
	call	number
	movl	%edi, %eax
	call	number
	jmp	next_msr
done:
	movb	$'E', %al
	out	%al, $DEBUG_PORT
halt:
	hlt
	jmp	halt

/* The MSR at hand is left out. */
on_gp:
	movw	%sp, %bp
	movw	$(next_msr - cpuid_guest_begin), %ss:(%bp)
	iretw

/*
 * All leaves from %esi up to the one that leaf %esi names in EAX; %ebp has a
 * bit for each that has subleaves.
 */
range:
	movl	%esi, %eax
	xorl	%ecx, %ecx
	cpuid
	movl	%esi, %ecx
	addl	$0xff, %ecx
	cmpl	%esi, %eax
	jb	range_end
	cmpl	%ecx, %eax
	ja	range_end
	movl	%eax, %ebx	/* the last leaf */
range_leaf:
	pushl	%ebx
	xorl	%edi, %edi
range_subleaf:
	call	leaf
	testl	$1, %ebp
	jz	range_next
	incl	%edi
	cmpl	$64, %edi
	jb	range_subleaf
range_next:
	popl	%ebx
	shrl	$1, %ebp
	incl	%esi
	cmpl	%ebx, %esi
	jbe	range_leaf
range_end:
	ret

/* The record of leaf %esi, subleaf %edi. */
leaf:
	movl	%esi, %eax
	movl	%edi, %ecx
	cpuid
	pushl	%edx
	pushl	%ecx
	pushl	%ebx
	pushl	%eax
	orl	%ebx, %eax
	orl	%ecx, %eax
	orl	%edx, %eax
	jz	leaf_empty
	movb	$'C', %al
	out	%al, $DEBUG_PORT
	movl	%esi, %eax
	call	number
	movl	%edi, %eax
	call	number
	popl	%eax
	call	number
	popl	%eax
	call	number
	popl	%eax
	call	number
	popl	%eax
	call	number
	ret
leaf_empty:
	addw	$16, %sp
	ret

/* %eax, lowest byte first. */
number:
	movw	$4, %cx
number_byte:
	out	%al, $DEBUG_PORT
	shrl	$8, %eax
	loop	number_byte
	ret

	.balign	4
msrs:
	.long	0x8b		/* microcode revision */
	.long	0xce		/* platform information */
	.long	0xcf		/* core capabilities */
	.long	0x10a		/* architectural capabilities */
	.long	0x345		/* performance capabilities */
	.long	0x480, 0x481, 0x482, 0x483, 0x484, 0x485, 0x486, 0x487
	.long	0x488, 0x489, 0x48a, 0x48b, 0x48c, 0x48d, 0x48e, 0x48f
	.long	0x490, 0x491	/* VMX capabilities */
	.long	0xc0011029	/* AMD: LFENCE serializes */
	.long	0
cpuid_guest_end:

	.balign	4
cpuid_guest_bytes:
	.long	cpuid_guest_end - cpuid_guest_begin

	.section .note.GNU-stack, "", @progbits
