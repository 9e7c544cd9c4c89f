/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Return addresses on a guest's stack. All of it is outside data: every
 * pointer is read through the page tables or not at all.
 */
#include "vmi/stack.h"

#include "insn/insn.h"
#include "vmi/space.h"

/* How much of a stack is looked through. */
#define SCAN_BYTES (32UL << 10)

/* A frame is not larger than this. */
#define FRAME_BYTES (1UL << 20)

/* The longest and shortest call: indirect with SIB and disp32, through a
 * register. */
#define CALL_MAX 8
#define CALL_MIN 2

static bool
is_code(const struct vmi_space *space, uint64_t address)
{
	struct walk walk;

	return vmi_space_walk(space, address, &walk, NULL) == 0 &&
	       walk.executable;
}

/* Behind a call: decoding some bytes before it gives one that ends here. */
static bool
is_return(const struct vmi_space *space, struct insn_decoder *decoder,
    uint64_t address)
{
	uint8_t bytes[CALL_MAX];
	struct insn insn;
	size_t len;

	if (address < 4096 || !is_code(space, address - 1))
		return false;
	for (len = CALL_MIN; len <= CALL_MAX; len++) {
		if (vmi_space_read(space, address - len, bytes, len, NULL) < 0)
			return false;
		if (insn_decoder_decode(
			decoder, bytes, len, address - len, &insn) == 0 &&
		    insn.len == len && insn.flow == INSN_CALLS)
			return true;
	}
	return false;
}

static size_t
follow_chain(const struct vmi_space *space, struct insn_decoder *decoder,
    const struct lf_vcpu_regs *regs, uint64_t *frames, size_t max)
{
	uint64_t frame = regs->rbp, low = regs->rsp, pair[2];
	size_t count = 0;

	while (count < max && frame >= low && frame - low < FRAME_BYTES &&
	       frame % 8 == 0 &&
	       vmi_space_read(space, frame, pair, sizeof(pair), NULL) == 0 &&
	       is_return(space, decoder, pair[1])) {
		frames[count++] = pair[1];
		low = frame + 16;
		frame = pair[0];
	}
	return count;
}

static size_t
scan(const struct vmi_space *space, struct insn_decoder *decoder,
    const struct lf_vcpu_regs *regs, uint64_t *frames, size_t max)
{
	uint64_t at = (regs->rsp + 7) & -8UL, end = at + SCAN_BYTES, value;
	size_t count = 0;

	for (; count < max && at < end; at += 8) {
		if (vmi_space_read(space, at, &value, sizeof(value), NULL) < 0)
			break;
		if (is_return(space, decoder, value))
			frames[count++] = value;
	}
	return count;
}

int
vmi_stack(const struct vmi_space *space, const struct lf_vcpu_regs *regs,
    uint64_t *frames, size_t max, bool *ret_chained, struct lf_error *error)
{
	struct insn_decoder *decoder;
	size_t count;
	int rc = insn_decoder_new(&decoder, error);

	if (rc < 0)
		return rc;
	count = follow_chain(space, decoder, regs, frames, max);
	/* One alone may be chance. */
	*ret_chained = count > 1;
	if (!*ret_chained)
		count = scan(space, decoder, regs, frames, max);
	insn_decoder_free(decoder);
	return (int)count;
}
