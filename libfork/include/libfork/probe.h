/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Probes: places in guest code where a fork without device model stops
 * (LF_EXIT_PROBE). A set of probes belongs to one snapshot and to this process:
 * a probe that is armed is armed for all of the snapshot's forks that show the
 * set, costs each fork nothing, and stays through resets. One that is lifted
 * when it was hit costs once for all forks together.
 *
 * A probe replaces the first bytes of an instruction: INT3 where KVM reports
 * it, else an OUT of two bytes. lf_memory_read() does not show it and a
 * snapshot of the fork does not have it; the guest itself can read it. What
 * probes are is told by where they lie in memory: an INT3 or OUT of the
 * guest's own has the effect that it had without them, and code that is mapped
 * at several addresses has the same probes at each.
 *
 * With the OUT instruction, user-mode code needs access to ports: forks with
 * probes run with IOPL 3, which the registers do not show. A process that is
 * not the one running at the snapshot, and comes upon a probe in a page that
 * it shares with it (a library), is killed by its kernel then.
 *
 * Any thread may use a set; a domain belongs to one thread at a time.
 */
#ifndef LIBFORK_PROBE_H
#define LIBFORK_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/domain.h>
#include <libfork/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lf_probes;

/*
 * An empty set for the snapshot that `domain`, a fork on backend kvm, came
 * from. -ENOTSUP on other backends.
 */
LF_API int lf_probes_new(struct lf_domain *domain,
    struct lf_probes **ret_probes, struct lf_error *error);

/* Frees the set; forks that show it keep what they need. NULL is allowed. */
LF_API void lf_probes_free(struct lf_probes *probes);

/* Bytes of an instruction that a probe replaces on this host: 1 or 2. */
LF_API size_t lf_probes_length(const struct lf_probes *probes);

/*
 * Adds a probe at guest-virtual `address` as vCPU 0 of `domain` sees it now (a
 * kernel address also through the kernel's half of split page tables); it is
 * not armed. Returns its number, from 0; a place that has a probe gives the
 * same number. -EFAULT: not mapped; -EXDEV: it would cross a page; -EEXIST: it
 * would overlap another probe.
 */
LF_API int lf_probes_add(struct lf_probes *probes, struct lf_domain *domain,
    uint64_t address, struct lf_error *error);

/*
 * Makes a paused domain show the set, with all that was added to it; to be
 * called again after probes were added. -EBUSY: the domain has written a page
 * that has a probe, since its last reset; or it shows another set.
 */
LF_API int lf_probes_show(
    struct lf_probes *probes, struct lf_domain *domain, struct lf_error *error);

/*
 * Arms or lifts a probe for all forks that show the set. A fork that has
 * written the page since its last reset follows at the next one; `domain` (may
 * be NULL) follows at once. Returns 1, or 0 when it was so already: of several
 * forks that hit a probe at the same time, one is the first to lift it.
 */
LF_API int lf_probes_arm(struct lf_probes *probes, unsigned id, bool armed,
    struct lf_domain *domain, struct lf_error *error);

/* Arms or lifts it in this domain alone, until the next reset. */
LF_API int lf_probes_arm_here(struct lf_probes *probes, unsigned id, bool armed,
    struct lf_domain *domain, struct lf_error *error);

#ifdef __cplusplus
}
#endif

#endif
