/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether all that a test's forkd left belongs to a domain that it lists.
 */
#ifndef TESTS_LIB_FORKD_ACCOUNT_H
#define TESTS_LIB_FORKD_ACCOUNT_H

/*
 * Everything that is there belongs to a listed domain: its processes and its
 * directory with its sockets; an overlay only to a fork; memory only to the
 * processes, nothing is left in forkd. What is on its way out may take a
 * moment.
 */
void forkd_check_accounts(void);

/* Destroys all domains, in any state; nothing is left of them. */
void forkd_destroy_all(void);

#endif
