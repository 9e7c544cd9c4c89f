/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * x86 instructions: length, what they do to memory and ports, where they go,
 * disassembly. The only room that knows capstone. Bytes come from guests:
 * whatever they are, the answer is an instruction or "not one".
 */
#ifndef INSN_INSN_H
#define INSN_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#define INSN_MAX 15 /* bytes of the longest instruction */

enum insn_mode {
	INSN_16,
	INSN_32,
	INSN_64,
};

enum insn_kind {
	INSN_OTHER,
	INSN_IN,
	INSN_OUT,
	INSN_INS,
	INSN_OUTS,
	INSN_MOVS,
	INSN_STOS,
	INSN_PUSH, /* of any operand, and of flags */
	INSN_POP,
	INSN_CALL,
	INSN_RET, /* near, of 64-bit code */
	INSN_CMP, /* with a constant, in store_value */
	INSN_LEA, /* of `mem` */
};

/* Registers as the instruction encodes them; RIP for relative addresses. */
enum insn_reg {
	INSN_RAX,
	INSN_RCX,
	INSN_RDX,
	INSN_RBX,
	INSN_RSP,
	INSN_RBP,
	INSN_RSI,
	INSN_RDI,
	INSN_R8,
	INSN_R9,
	INSN_R10,
	INSN_R11,
	INSN_R12,
	INSN_R13,
	INSN_R14,
	INSN_R15,
	INSN_RIP,
	INSN_NO_REG,
};

enum insn_segment {
	INSN_ES,
	INSN_CS,
	INSN_SS,
	INSN_DS,
	INSN_FS,
	INSN_GS,
};

/* A memory operand: segment:[base + index * scale + displacement]. */
struct insn_mem {
	enum insn_reg base, index;
	uint8_t scale;
	int64_t displacement;
	enum insn_segment segment;
	uint8_t address_bytes; /* 2, 4, 8: sums wrap there */
	uint8_t size;          /* bytes accessed */
	bool read, write;
};

/* What MOV stores to memory. */
enum insn_store {
	INSN_STORE_UNKNOWN, /* no MOV to memory */
	INSN_STORE_REG,
	INSN_STORE_VALUE,
};

/* How an instruction ends a basic block. */
enum insn_flow {
	INSN_NEXT,   /* it does not */
	INSN_JUMP,   /* goes to `target` */
	INSN_BRANCH, /* goes to `target` or on */
	INSN_CALLS,  /* comes back */
	INSN_LEAVES, /* goes where the bytes do not say: return, indirect */
	INSN_TRAPS,  /* HLT, INT3, UD2, SYSCALL and the like */
};

/* When INSN_BRANCH branches: a condition 0 to 15 as Jcc encodes it, or: */
enum insn_condition {
	INSN_WHILE_NOT_EQUAL = 16, /* LOOPNE */
	INSN_WHILE_EQUAL,          /* LOOPE */
	INSN_WHILE,                /* LOOP */
	INSN_IF_ZERO,              /* JRCXZ, JECXZ */
};

struct insn {
	uint8_t len;
	enum insn_kind kind;
	enum insn_flow flow;
	bool rep;              /* REP, REPE or REPNE */
	uint8_t size;          /* of IN, OUT and string elements: 1, 2, 4, 8 */
	uint8_t address_bytes; /* of string instructions' counters */
	bool port_in_dx;
	uint8_t port; /* IN, OUT: unless port_in_dx */
	bool has_mem;
	struct insn_mem mem; /* explicit operand */
	enum insn_store store;
	enum insn_reg store_reg;
	bool store_high; /* AH, BH, CH, DH */
	uint64_t store_value;
	bool has_target;
	uint64_t target;
	uint8_t condition; /* of INSN_BRANCH */
	/* Indirect near JMP and CALL: through target_reg, or else `mem`. */
	bool indirect;
	enum insn_reg target_reg;
	uint16_t pops; /* INSN_RET: bytes besides the return address */
};

/* Decodes one instruction at `pc`. -EBADMSG: these bytes are none. */
int insn_decode(enum insn_mode mode, const uint8_t *bytes, size_t len,
    uint64_t pc, struct insn *ret, struct lf_error *error);

/*
 * Decoding many instructions of 64-bit code: a decoder of one thread, freed by
 * insn_decoder_free(), NULL allowed.
 */
struct insn_decoder;
int insn_decoder_new(struct insn_decoder **ret, struct lf_error *error);
void insn_decoder_free(struct insn_decoder *decoder);
int insn_decoder_decode(struct insn_decoder *decoder, const uint8_t *bytes,
    size_t len, uint64_t pc, struct insn *ret);

/* "out dx, al" into `text`. Returns the instruction's length, or -EBADMSG. */
int insn_text(enum insn_mode mode, const uint8_t *bytes, size_t len,
    uint64_t pc, char *text, size_t text_len, struct lf_error *error);

#endif
