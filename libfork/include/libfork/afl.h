/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Being the target of AFL++ (afl-fuzz, afl-showmap, afl-cmin, afl-tmin ...):
 * its fork server protocol, over the descriptors 198 and 199 that it starts a
 * target with, with test cases and coverage in shared memory.
 */
#ifndef LIBFORK_AFL_H
#define LIBFORK_AFL_H

#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>
#include <libfork/fuzz.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lf_afl;

/*
 * Finds out whether AFL++ started this process and attaches its coverage map.
 * 1: here it is; 0: nobody is there. -EINVAL: AFL++ is there, but what its
 * environment says is not right.
 */
LF_API int lf_afl_connect(struct lf_afl **ret_afl, struct lf_error *error);

/* Lets go of it all. NULL is allowed. */
LF_API void lf_afl_free(struct lf_afl *afl);

/*
 * AFL++'s map, page-aligned, for lf_fuzz_options.map with keep_map; NULL and 0
 * when it gave none (it only wants to know the target's size).
 */
LF_API uint8_t *lf_afl_map(const struct lf_afl *afl, size_t *ret_bytes);

/*
 * Tells AFL++ that there will be no session, so that it stops at once, and
 * with a message of its own where it has one: -ENOSPC, the map is too small.
 * AFL++ kills the process then: what there is to say is said before. Nothing
 * happens once lf_afl_serve() has introduced itself.
 */
LF_API void lf_afl_refuse(struct lf_afl *afl, int code);

/*
 * Introduces itself and then runs what AFL++ gives, until that is gone: 0.
 * Where AFL++ wants no fork server (afl-showmap with one input), runs once: 1
 * after a crash, which is to be told by dying of a signal.
 * Test cases come by shared memory or, where AFL++ does not want that, from
 * the file `input_path`, NULL: standard input. A run that AFL++ declares a
 * time-out is interrupted. `dictionary` (AFL++'s form: length byte, token ...;
 * may be NULL) is offered to it.
 */
LF_API int lf_afl_serve(struct lf_afl *afl, struct lf_fuzz *fuzz,
    const char *input_path, const void *dictionary, size_t dictionary_len,
    struct lf_error *error);

#ifdef __cplusplus
}
#endif

#endif
