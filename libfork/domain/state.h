/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain's life cycle: its states, which verbs are legal in which, and the
 * words in which one is refused. A change of state that a verb makes is
 * domain.c's; the backends report only what happened by itself.
 */
#ifndef DOMAIN_STATE_H
#define DOMAIN_STATE_H

#include <stdbool.h>

#include <libfork/domain.h>

/* What can be asked of a domain, as the table of legal states sees it. */
enum domain_verb {
	VERB_FREEZE,
	VERB_ARRIVE,
	VERB_THAW,
	VERB_PAUSE,
	VERB_UNPAUSE,
	VERB_SHUTDOWN,
	VERB_LAUNCH,
	VERB_RESET,
	VERB_VERIFY,
	VERB_RUN,
	VERB_ANSWER,
	VERB_LOOK,
	VERB_DESCRIBE,
	VERB_CHANGE,
	VERB_COUNT
};

/*
 * -EBUSY of a running domain or -EINVAL of another, naming state and reason:
 * the verb is not legal now. -ENOTSUP: the backend does not have it.
 */
int domain_check_verb(const struct lf_domain *domain, enum domain_verb verb,
    bool supported, struct lf_error *error);

/* Sets the state that a verb led to. */
void domain_enter_state(struct lf_domain *domain, enum lf_domain_state state);

/* Sets the state that something from outside led to, and why. */
void domain_set_state(struct lf_domain *domain, enum lf_domain_state state,
    const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
