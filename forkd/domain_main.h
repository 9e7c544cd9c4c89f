/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The domain process from start to end: its main thread.
 */
#ifndef FORKD_DOMAIN_MAIN_H
#define FORKD_DOMAIN_MAIN_H

#include <sys/types.h>

/* The role's main function; an exit status. */
int domain_process_main(unsigned id, unsigned adopt_within, uid_t forkd_uid);

#endif
