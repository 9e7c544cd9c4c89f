/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A forkd of a test's own: its directories are in the test's directory, and
 * whatever becomes of the test, a janitor process ends everything that belongs
 * to it. Everything here fails the test when it fails.
 */
#ifndef TESTS_LIB_FORKD_TEST_H
#define TESTS_LIB_FORKD_TEST_H

#include <sys/types.h>
#include <stdbool.h>

#include <jansson.h>
#include <libfork/domain_config.h>

#include "control/client.h"

/* For a suite's .init and .fini; around guest_setup() and guest_teardown(). */
void forkd_setup(void);
void forkd_teardown(void);

/* Starts forkd with more options (NULL ends them) and connects to it. */
void forkd_start(const char *const *options);

/* SIGKILL, or SIGTERM; it is gone afterwards. Domains stay. */
void forkd_kill(void);
void forkd_stop(void);

pid_t forkd_pid(void);
const char *forkd_socket(void);

/* One more connection; the caller frees it. */
struct control_client *forkd_connect(void);

/*
 * A command that has to succeed; takes the arguments. The caller's reference.
 */
json_t *forkd_call(const char *command, json_t *take_arguments);

/* One that needs only a domain, and whose answer says nothing more. */
void forkd_do(const char *command, unsigned id);

/*
 * A command from a process of its own, which somebody may kill; its end is not
 * waited for. The exit status is 0 when the command succeeded.
 */
pid_t forkd_call_aside(const char *command, json_t *take_arguments);

/* A command that has to fail, with this class's code and in these words. */
void forkd_refuses(
    const char *command, json_t *take_arguments, int code, const char *words);

/* {"domain": id as a string}; with one more member. */
json_t *forkd_domain(unsigned id);
json_t *forkd_domain_with(unsigned id, const char *name, json_t *take_value);

/* Boots a domain (takes the configuration); its id. */
unsigned forkd_create(struct lf_domain_config *take_config);
json_t *forkd_config_value(const struct lf_domain_config *config);

/* Forks once; the fork's id. */
unsigned forkd_fork(unsigned parent);

/* A member of "info"; a string is valid until the next call. */
const char *forkd_text(unsigned id, const char *member);
long long forkd_number(unsigned id, const char *member);

/* Waits until the domain is in this state. */
void forkd_wait_state(unsigned id, const char *state);

/* Waits until a file has ticks beyond `after`; the last one. */
unsigned forkd_wait_tick(const char *path, unsigned after);

/* Processes of this test's forkd, itself included. */
unsigned forkd_processes(void);

/* Waits until forkd and `more` other processes are all that is there. */
void forkd_wait_processes(unsigned count);

/* Files in overlays/ and directories in domains/. */
unsigned forkd_overlays(void);
unsigned forkd_directories(void);

/* Memory files that forkd itself has open: none, when nothing is under way. */
unsigned forkd_memory_files(void);

/* Nothing is left of any domain; the daemon lives. */
void forkd_check_empty(void);

#endif
