/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Decoding with capstone: its answer turned into what xlfork asks. A handle is
 * opened per call: decoding happens on rare paths, and handles are not for
 * several threads.
 */
#include "insn/insn.h"

#include <capstone/capstone.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"

static int
open_capstone(enum insn_mode mode, size_t *ret_handle, struct lf_error *error)
{
	static const cs_mode modes[] = {
	    [INSN_16] = CS_MODE_16,
	    [INSN_32] = CS_MODE_32,
	    [INSN_64] = CS_MODE_64,
	};
	csh handle;
	cs_err err = cs_open(CS_ARCH_X86, modes[mode], &handle);

	if (err != CS_ERR_OK)
		return error_set(
		    error, ENOMEM, "capstone: %s", cs_strerror(err));
	cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
	*ret_handle = handle;
	return 0;
}

static const struct {
	unsigned id;
	enum insn_kind kind;
	uint8_t size; /* of a string element */
} kinds[] = {
    {X86_INS_IN, INSN_IN, 0},
    {X86_INS_OUT, INSN_OUT, 0},
    {X86_INS_INSB, INSN_INS, 1},
    {X86_INS_INSW, INSN_INS, 2},
    {X86_INS_INSD, INSN_INS, 4},
    {X86_INS_OUTSB, INSN_OUTS, 1},
    {X86_INS_OUTSW, INSN_OUTS, 2},
    {X86_INS_OUTSD, INSN_OUTS, 4},
    {X86_INS_MOVSB, INSN_MOVS, 1},
    {X86_INS_MOVSW, INSN_MOVS, 2},
    {X86_INS_MOVSD, INSN_MOVS, 4}, /* also SSE2's: see has_xmm() */
    {X86_INS_MOVSQ, INSN_MOVS, 8},
    {X86_INS_STOSB, INSN_STOS, 1},
    {X86_INS_STOSW, INSN_STOS, 2},
    {X86_INS_STOSD, INSN_STOS, 4},
    {X86_INS_STOSQ, INSN_STOS, 8},
    {X86_INS_PUSH, INSN_PUSH, 0},
    {X86_INS_PUSHF, INSN_PUSH, 0},
    {X86_INS_PUSHFD, INSN_PUSH, 0},
    {X86_INS_PUSHFQ, INSN_PUSH, 0},
    {X86_INS_POP, INSN_POP, 0},
    {X86_INS_CALL, INSN_CALL, 0},
    {X86_INS_LCALL, INSN_CALL, 0},
    {X86_INS_RET, INSN_RET, 0},
    {X86_INS_LEA, INSN_LEA, 0},
};

/* Every width of a general register is one insn_reg. */
static enum insn_reg
reg_of(x86_reg reg)
{
	static const x86_reg names[][5] = {
	    {X86_REG_RAX, X86_REG_EAX, X86_REG_AX, X86_REG_AL, X86_REG_AH},
	    {X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL, X86_REG_CH},
	    {X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL, X86_REG_DH},
	    {X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL, X86_REG_BH},
	    {X86_REG_RSP, X86_REG_ESP, X86_REG_SP, X86_REG_SPL, 0},
	    {X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL, 0},
	    {X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL, 0},
	    {X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL, 0},
	    {X86_REG_R8, X86_REG_R8D, X86_REG_R8W, X86_REG_R8B, 0},
	    {X86_REG_R9, X86_REG_R9D, X86_REG_R9W, X86_REG_R9B, 0},
	    {X86_REG_R10, X86_REG_R10D, X86_REG_R10W, X86_REG_R10B, 0},
	    {X86_REG_R11, X86_REG_R11D, X86_REG_R11W, X86_REG_R11B, 0},
	    {X86_REG_R12, X86_REG_R12D, X86_REG_R12W, X86_REG_R12B, 0},
	    {X86_REG_R13, X86_REG_R13D, X86_REG_R13W, X86_REG_R13B, 0},
	    {X86_REG_R14, X86_REG_R14D, X86_REG_R14W, X86_REG_R14B, 0},
	    {X86_REG_R15, X86_REG_R15D, X86_REG_R15W, X86_REG_R15B, 0},
	    {X86_REG_RIP, X86_REG_EIP, X86_REG_IP, 0, 0},
	};
	unsigned i, j;

	for (i = 0; reg != X86_REG_INVALID && i <= INSN_RIP; i++)
		for (j = 0; j < 5; j++)
			if (names[i][j] == reg)
				return i;
	return INSN_NO_REG;
}

static enum insn_segment
segment_of(const x86_op_mem *mem)
{
	switch ((x86_reg)mem->segment) {
	case X86_REG_ES:
		return INSN_ES;
	case X86_REG_CS:
		return INSN_CS;
	case X86_REG_SS:
		return INSN_SS;
	case X86_REG_FS:
		return INSN_FS;
	case X86_REG_GS:
		return INSN_GS;
	case X86_REG_DS:
		return INSN_DS;
	default:
		break;
	}
	switch (reg_of(mem->base)) {
	case INSN_RSP:
	case INSN_RBP:
		return INSN_SS;
	default:
		return INSN_DS;
	}
}

static bool
has_xmm(const cs_x86 *x86)
{
	unsigned i;

	for (i = 0; i < x86->op_count; i++)
		if (x86->operands[i].type == X86_OP_REG &&
		    x86->operands[i].reg >= X86_REG_XMM0 &&
		    x86->operands[i].reg <= X86_REG_XMM31)
			return true;
	return false;
}

static void
fill_kind(struct insn *insn, const cs_insn *cs)
{
	const cs_x86 *x86 = &cs->detail->x86;
	unsigned i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].id != cs->id)
			continue;
		if (kinds[i].kind == INSN_MOVS && has_xmm(x86))
			return;
		insn->kind = kinds[i].kind;
		insn->size = kinds[i].size;
	}
	if (insn->kind == INSN_PUSH || insn->kind == INSN_POP)
		insn->size = x86->op_count > 0 ? x86->operands[0].size : 8;
	if (insn->kind != INSN_IN && insn->kind != INSN_OUT)
		return;
	/* One operand is the port, the other AL, AX or EAX. */
	for (i = 0; i < x86->op_count; i++) {
		const cs_x86_op *op = &x86->operands[i];

		if (op->type == X86_OP_IMM)
			insn->port = op->imm;
		else if (op->type == X86_OP_REG && op->reg == X86_REG_DX)
			insn->port_in_dx = true;
		else if (op->type == X86_OP_REG)
			insn->size = op->reg == X86_REG_AL   ? 1
				     : op->reg == X86_REG_AX ? 2
							     : 4;
	}
}

/* Instructions of two operands that only read the first. */
static bool
only_compares(unsigned id)
{
	return id == X86_INS_CMP || id == X86_INS_TEST || id == X86_INS_BT;
}

/*
 * capstone 4 says of some stores (CMPXCHG, MOVNTI, those of vector registers)
 * that they read, and of some operands nothing. The destination comes first in
 * its (Intel's) order.
 */
static void
fill_mem(struct insn *insn, const cs_insn *cs)
{
	const cs_x86 *x86 = &cs->detail->x86;
	unsigned i;

	for (i = 0; i < x86->op_count; i++) {
		const cs_x86_op *op = &x86->operands[i];

		if (op->type != X86_OP_MEM)
			continue;
		insn->has_mem = true;
		insn->mem = (struct insn_mem){
		    .base = reg_of(op->mem.base),
		    .index = reg_of(op->mem.index),
		    .scale = op->mem.scale,
		    .displacement = op->mem.disp,
		    .segment = segment_of(&op->mem),
		    .address_bytes = x86->addr_size,
		    .size = op->size,
		    .read = (op->access & CS_AC_READ) != 0,
		    .write = (op->access & CS_AC_WRITE) != 0,
		};
		if (i == 0 && x86->op_count > 1 && !only_compares(cs->id))
			insn->mem.write = true;
		else if (op->access == 0)
			insn->mem.read = true;
		return;
	}
}

static void
fill_store(struct insn *insn, const cs_insn *cs)
{
	const cs_x86_op *op = &cs->detail->x86.operands[1];

	if (cs->id != X86_INS_MOV || cs->detail->x86.op_count != 2 ||
	    cs->detail->x86.operands[0].type != X86_OP_MEM)
		return;
	if (op->type == X86_OP_IMM) {
		insn->store = INSN_STORE_VALUE;
		insn->store_value = op->imm;
	} else if (op->type == X86_OP_REG && reg_of(op->reg) != INSN_NO_REG) {
		insn->store = INSN_STORE_REG;
		insn->store_reg = reg_of(op->reg);
		insn->store_high =
		    op->reg == X86_REG_AH || op->reg == X86_REG_BH ||
		    op->reg == X86_REG_CH || op->reg == X86_REG_DH;
	}
}

/* Jcc is 70 to 7f or 0f 80 to 0f 8f, the loops are e0 to e3. */
static uint8_t
condition_of(const uint8_t *opcode)
{
	if (opcode[0] >= 0xe0 && opcode[0] <= 0xe3)
		return INSN_WHILE_NOT_EQUAL + (opcode[0] - 0xe0);
	return (opcode[0] == 0x0f ? opcode[1] : opcode[0]) & 0xf;
}

static void
fill_compare(struct insn *insn, const cs_insn *cs)
{
	const cs_x86 *x86 = &cs->detail->x86;

	if (cs->id != X86_INS_CMP || x86->op_count != 2 ||
	    x86->operands[1].type != X86_OP_IMM)
		return;
	insn->kind = INSN_CMP;
	insn->store_value = (uint64_t)x86->operands[1].imm;
}

static void
fill_flow(struct insn *insn, csh handle, const cs_insn *cs)
{
	const cs_x86 *x86 = &cs->detail->x86;

	if (cs->id == X86_INS_JMP || cs->id == X86_INS_LJMP)
		insn->flow = INSN_JUMP;
	else if (cs_insn_group(handle, cs, CS_GRP_JUMP) ||
		 cs->id == X86_INS_LOOP || cs->id == X86_INS_LOOPE ||
		 cs->id == X86_INS_LOOPNE || cs->id == X86_INS_JRCXZ ||
		 cs->id == X86_INS_JECXZ || cs->id == X86_INS_JCXZ)
		insn->flow = INSN_BRANCH;
	else if (cs_insn_group(handle, cs, CS_GRP_CALL))
		insn->flow = INSN_CALLS;
	else if (cs_insn_group(handle, cs, CS_GRP_RET) ||
		 cs_insn_group(handle, cs, CS_GRP_IRET) ||
		 cs->id == X86_INS_SYSRET || cs->id == X86_INS_SYSEXIT)
		insn->flow = INSN_LEAVES;
	else if (cs_insn_group(handle, cs, CS_GRP_INT) ||
		 cs->id == X86_INS_HLT || cs->id == X86_INS_UD2 ||
		 cs->id == X86_INS_SYSCALL || cs->id == X86_INS_SYSENTER)
		insn->flow = INSN_TRAPS;
	if (cs->id == X86_INS_RET && x86->op_count == 1)
		insn->pops = (uint16_t)x86->operands[0].imm;
	if (insn->flow != INSN_JUMP && insn->flow != INSN_BRANCH &&
	    insn->flow != INSN_CALLS)
		return;
	if (insn->flow == INSN_BRANCH)
		insn->condition = condition_of(x86->opcode);
	if ((cs->id == X86_INS_JMP || cs->id == X86_INS_CALL) &&
	    x86->op_count == 1 && x86->operands[0].type != X86_OP_IMM) {
		insn->indirect = true;
		insn->target_reg = x86->operands[0].type == X86_OP_REG
				       ? reg_of(x86->operands[0].reg)
				       : INSN_NO_REG;
	}
	if (x86->op_count == 1 && x86->operands[0].type == X86_OP_IMM) {
		insn->has_target = true;
		insn->target = x86->operands[0].imm;
	} else if (insn->flow == INSN_JUMP) {
		insn->flow = INSN_LEAVES;
	}
}

static int
decode_with(size_t handle, const uint8_t *bytes, size_t len, uint64_t pc,
    struct insn *ret, struct lf_error *error)
{
	cs_insn *cs;
	size_t count = cs_disasm(handle, bytes, len, pc, 1, &cs);
	const cs_x86 *x86;

	if (count == 0)
		return error_set(
		    error, EBADMSG, "no instruction at 0x%" PRIx64, pc);
	x86 = &cs->detail->x86;
	*ret = (struct insn){
	    .len = cs->size,
	    .rep = x86->prefix[0] == X86_PREFIX_REP ||
		   x86->prefix[0] == X86_PREFIX_REPNE,
	    .address_bytes = x86->addr_size,
	};
	fill_kind(ret, cs);
	fill_mem(ret, cs);
	fill_store(ret, cs);
	fill_compare(ret, cs);
	fill_flow(ret, handle, cs);
	cs_free(cs, count);
	return 0;
}

int
insn_decode(enum insn_mode mode, const uint8_t *bytes, size_t len, uint64_t pc,
    struct insn *ret, struct lf_error *error)
{
	size_t handle;
	int rc = open_capstone(mode, &handle, error);

	if (rc < 0)
		return rc;
	rc = decode_with(handle, bytes, len, pc, ret, error);
	cs_close(&handle);
	return rc;
}

int
insn_text(enum insn_mode mode, const uint8_t *bytes, size_t len, uint64_t pc,
    char *text, size_t text_len, struct lf_error *error)
{
	size_t handle, count;
	cs_insn *cs;
	int rc = open_capstone(mode, &handle, error);

	if (rc < 0)
		return rc;
	count = cs_disasm(handle, bytes, len, pc, 1, &cs);
	if (count == 0) {
		rc = error_set(
		    error, EBADMSG, "no instruction at 0x%" PRIx64, pc);
	} else {
		snprintf(text, text_len, "%s%s%s", cs->mnemonic,
		    cs->op_str[0] != '\0' ? " " : "", cs->op_str);
		rc = cs->size;
		cs_free(cs, count);
	}
	cs_close(&handle);
	return rc;
}

struct insn_decoder {
	size_t handle;
};

int
insn_decoder_new(struct insn_decoder **ret, struct lf_error *error)
{
	struct insn_decoder *decoder = sys.calloc(1, sizeof(*decoder));
	int rc;

	if (decoder == NULL)
		return error_nomem(error);
	rc = open_capstone(INSN_64, &decoder->handle, error);
	if (rc < 0) {
		free(decoder);
		return rc;
	}
	*ret = decoder;
	return 0;
}

void
insn_decoder_free(struct insn_decoder *decoder)
{
	if (decoder == NULL)
		return;
	cs_close(&decoder->handle);
	free(decoder);
}

int
insn_decoder_decode(struct insn_decoder *decoder, const uint8_t *bytes,
    size_t len, uint64_t pc, struct insn *ret)
{
	return decode_with(decoder->handle, bytes, len, pc, ret, NULL);
}
