/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of insn/ share. A handle is capstone's csh (a size_t), to be
 * closed with cs_close().
 */
#ifndef INSN_CAPSTONE_H
#define INSN_CAPSTONE_H

#include "insn/insn.h"

int insn_open(enum insn_mode mode, size_t *ret_handle, struct lf_error *error);
int insn_decode_with(size_t handle, const uint8_t *bytes, size_t len,
    uint64_t pc, struct insn *ret, struct lf_error *error);

#endif
