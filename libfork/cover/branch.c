/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Near branches as Intel's SDM volume 2 has them: Jcc, JMP, CALL, RET, LOOPcc.
 */
#include "cover/branch.h"

#include "vmi/space.h"

#define CF        (1U << 0)
#define PF        (1U << 2)
#define ZF        (1U << 6)
#define SF        (1U << 7)
#define OF        (1U << 11)
#define AC        (1U << 18)

#define CR4_LA57  (1U << 12)
#define CR4_SMAP  (1U << 21)

#define PTE_DIRTY (1U << 6)

static uint64_t *
reg_in(struct lf_vcpu_regs *regs, enum insn_reg reg)
{
	uint64_t *const all[] = {
	    [INSN_RAX] = &regs->rax,
	    [INSN_RCX] = &regs->rcx,
	    [INSN_RDX] = &regs->rdx,
	    [INSN_RBX] = &regs->rbx,
	    [INSN_RSP] = &regs->rsp,
	    [INSN_RBP] = &regs->rbp,
	    [INSN_RSI] = &regs->rsi,
	    [INSN_RDI] = &regs->rdi,
	    [INSN_R8] = &regs->r8,
	    [INSN_R9] = &regs->r9,
	    [INSN_R10] = &regs->r10,
	    [INSN_R11] = &regs->r11,
	    [INSN_R12] = &regs->r12,
	    [INSN_R13] = &regs->r13,
	    [INSN_R14] = &regs->r14,
	    [INSN_R15] = &regs->r15,
	    [INSN_RIP] = &regs->rip,
	};

	return reg < INSN_NO_REG ? all[reg] : NULL;
}

/* Jcc's sixteen: pairs of a condition and its opposite. */
static bool
holds(unsigned condition, uint64_t flags)
{
	bool sign = (flags & SF) != 0, overflow = (flags & OF) != 0;
	bool result;

	switch (condition >> 1) {
	case 0:
		result = overflow;
		break;
	case 1:
		result = (flags & CF) != 0;
		break;
	case 2:
		result = (flags & ZF) != 0;
		break;
	case 3:
		result = (flags & (CF | ZF)) != 0;
		break;
	case 4:
		result = sign;
		break;
	case 5:
		result = (flags & PF) != 0;
		break;
	case 6:
		result = sign != overflow;
		break;
	default:
		result = (flags & ZF) != 0 || sign != overflow;
		break;
	}
	return result != (condition & 1);
}

static bool
loops(const struct insn *insn, struct lf_vcpu_regs *regs)
{
	bool narrow = insn->address_bytes == 4;
	uint64_t count = narrow ? (uint32_t)regs->rcx : regs->rcx;
	bool zero = (regs->rflags & ZF) != 0;

	if (insn->condition == INSN_IF_ZERO)
		return count == 0;
	count--;
	regs->rcx = narrow ? (uint32_t)count : count;
	if (narrow)
		count = (uint32_t)count;
	if (insn->condition == INSN_WHILE_NOT_EQUAL)
		return count != 0 && !zero;
	if (insn->condition == INSN_WHILE_EQUAL)
		return count != 0 && zero;
	return count != 0;
}

/*
 * Whether the vCPU would make this access of 8 bytes as it is: with no fault,
 * such as a page that is only copied when it is written, and nothing to be
 * noted in the page tables.
 */
static bool
can_access(const struct vmi_space *space, const struct lf_vcpu_regs *regs,
    uint64_t address, bool write)
{
	bool user = (regs->ss.access >> 5 & 3) == 3;
	bool smap = (regs->cr4 & CR4_SMAP) && !(regs->rflags & AC);
	unsigned i;

	for (i = 0; i < 2; i++) {
		struct walk walk;

		if (vmi_space_walk(space, address + 7 * i, &walk, NULL) < 0)
			return false;
		if (walk.levels == 0)
			continue;
		if (user ? !walk.user : smap && walk.user)
			return false;
		if (write && (!walk.writable ||
				 !(walk.entry[walk.levels - 1] & PTE_DIRTY)))
			return false;
	}
	return true;
}

static bool
read_word(const struct vmi_space *space, const struct lf_vcpu_regs *regs,
    uint64_t address, uint64_t *ret_word)
{
	return can_access(space, regs, address, false) &&
	       vmi_space_read(space, address, ret_word, 8, NULL) == 0;
}

/* To others a branch faults, at the branch. */
static bool
is_canonical(const struct lf_vcpu_regs *regs, uint64_t address)
{
	int64_t top = (int64_t)address >> (regs->cr4 & CR4_LA57 ? 56 : 47);

	return top == 0 || top == -1;
}

static bool
read_target(const struct insn *insn, const struct vmi_space *space,
    struct lf_vcpu_regs *regs, uint64_t *ret_target)
{
	uint64_t at = (uint64_t)insn->mem.displacement;
	const uint64_t *base, *index;

	if (insn->target_reg != INSN_NO_REG) {
		*ret_target = *reg_in(regs, insn->target_reg);
		return true;
	}
	if (insn->mem.size != 8)
		return false;
	base = reg_in(regs, insn->mem.base);
	index = reg_in(regs, insn->mem.index);
	if (insn->mem.base == INSN_RIP)
		at += regs->rip + insn->len;
	else if (base != NULL)
		at += *base;
	if (index != NULL)
		at += *index * insn->mem.scale;
	if (insn->mem.address_bytes == 4)
		at = (uint32_t)at;
	if (insn->mem.segment == INSN_FS)
		at += regs->fs.base;
	if (insn->mem.segment == INSN_GS)
		at += regs->gs.base;
	return read_word(space, regs, at, ret_target);
}

int
branch_take(const struct insn *insn, const struct vmi_space *space,
    struct lf_vcpu_regs *regs)
{
	uint64_t next = regs->rip + insn->len, target = insn->target;

	if (insn->indirect && !read_target(insn, space, regs, &target))
		return 0;
	switch (insn->flow) {
	case INSN_BRANCH:
		if (insn->condition < 16 ? !holds(insn->condition, regs->rflags)
					 : !loops(insn, regs))
			target = next;
		break;
	case INSN_JUMP:
		if (!insn->has_target)
			return 0;
		break;
	case INSN_CALLS:
		if (!insn->has_target && !insn->indirect)
			return 0;
		if (!is_canonical(regs, target) ||
		    !can_access(space, regs, regs->rsp - 8, true) ||
		    vmi_space_write(
			space, regs->rsp - 8, &next, sizeof(next), NULL) < 0)
			return 0;
		regs->rsp -= 8;
		break;
	case INSN_LEAVES:
		if (insn->indirect)
			break;
		if (insn->kind != INSN_RET ||
		    !read_word(space, regs, regs->rsp, &target) ||
		    !is_canonical(regs, target))
			return 0;
		regs->rsp += 8U + insn->pops;
		break;
	default:
		return 0;
	}
	if (!is_canonical(regs, target))
		return 0;
	regs->rip = target;
	return 1;
}
