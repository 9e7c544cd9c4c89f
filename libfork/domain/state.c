/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain/state.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"
#include "domain/backend.h"

static const char *const state_names[] = {
    [LF_DOMAIN_PAUSED] = "paused",
    [LF_DOMAIN_RUNNING] = "running",
    [LF_DOMAIN_FROZEN] = "frozen",
    [LF_DOMAIN_CRASHED] = "crashed",
    [LF_DOMAIN_ENDED] = "ended",
};

#define IN(state) (1U << LF_DOMAIN_##state)

/* Which verbs are legal in which states, and how each is called. */
static const struct {
	const char *name;
	unsigned states;
} verbs[VERB_COUNT] = {
    [VERB_FREEZE] = {"frozen", IN(PAUSED) | IN(RUNNING) | IN(FROZEN)},
    [VERB_ARRIVE] = {"run to an address", IN(PAUSED) | IN(RUNNING)},
    [VERB_THAW] = {"thawed", IN(FROZEN)},
    [VERB_PAUSE] = {"paused", IN(PAUSED) | IN(RUNNING)},
    [VERB_UNPAUSE] = {"unpaused", IN(PAUSED) | IN(RUNNING)},
    [VERB_SHUTDOWN] = {"shut down", IN(RUNNING) | IN(PAUSED)},
    [VERB_LAUNCH] = {"given a device model", IN(PAUSED) | IN(RUNNING)},
    [VERB_RESET] = {"reset", IN(PAUSED) | IN(RUNNING) | IN(CRASHED)},
    [VERB_VERIFY] = {"verified", IN(PAUSED) | IN(CRASHED)},
    [VERB_RUN] = {"run", IN(PAUSED)},
    [VERB_ANSWER] = {"answered", IN(PAUSED)},
    [VERB_LOOK] = {"looked into", IN(PAUSED) | IN(FROZEN) | IN(CRASHED)},
    [VERB_DESCRIBE] = {"described", IN(PAUSED) | IN(RUNNING) | IN(FROZEN)},
    [VERB_CHANGE] = {"changed", IN(PAUSED) | IN(CRASHED)},
};

static int __attribute__((cold)) refuse(const struct lf_domain *domain,
    enum domain_verb verb, struct lf_error *error)
{
	const char *reason = domain->reason;

	return error_set(error,
	    domain->state == LF_DOMAIN_RUNNING ? EBUSY : EINVAL,
	    "a domain that is %s cannot be %s%s%s%s",
	    state_names[domain->state], verbs[verb].name,
	    reason[0] != '\0' ? " (" : "", reason,
	    reason[0] != '\0' ? ")" : "");
}

static int __attribute__((cold)) unsupported(const struct lf_domain *domain,
    enum domain_verb verb, struct lf_error *error)
{
	return error_set(error, ENOTSUP, "a domain on %s cannot be %s",
	    domain->backend->name, verbs[verb].name);
}

int
domain_check_verb(const struct lf_domain *domain, enum domain_verb verb,
    bool supported, struct lf_error *error)
{
	if (!(verbs[verb].states & (1U << domain->state)))
		return refuse(domain, verb, error);
	return supported ? 0 : unsupported(domain, verb, error);
}

void
domain_enter_state(struct lf_domain *domain, enum lf_domain_state state)
{
	domain->state = state;
	domain->reason[0] = '\0';
}

void
domain_set_state(struct lf_domain *domain, enum lf_domain_state state,
    const char *format, ...)
{
	va_list args;

	domain->state = state;
	va_start(args, format);
	vsnprintf(domain->reason, sizeof(domain->reason), format, args);
	va_end(args);
}
