/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is known of a crash, for those that write it down.
 */
#ifndef VMI_CRASH_H
#define VMI_CRASH_H

#include <libfork/crash.h>

#define CRASH_CODE_MAX 12 /* instructions */

struct crash_code {
	uint64_t address;
	char text[96];
};

struct lf_crash {
	char what[192];
	char id[LF_CRASH_ID_LEN + 1];
	const struct lf_symbols *symbols; /* borrowed, during lf_crash_new() */
	struct lf_vcpu_regs regs;         /* of what went wrong */
	bool from_sink; /* the sink has them: the vCPU's are others */
	struct lf_vcpu_regs vcpu;
	struct crash_code code[CRASH_CODE_MAX];
	size_t code_count;
	uint64_t frames[LF_CRASH_FRAMES_MAX];
	size_t frame_count;
	bool chained; /* the frames are from frame pointers */
	char *log;    /* owned; NULL: none */

	char *text, *json; /* owned */
};

/* crash_write.c: fills in `text` and `json`. */
int crash_write(struct lf_crash *crash, struct lf_error *error);

#endif
