/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What clients may ask for: checked against the table of control/messages.h,
 * then done by one handler each.
 */
#ifndef FORKD_COMMAND_H
#define FORKD_COMMAND_H

struct client;
struct domain;
struct peer_request;

/* Checks a command and does it; the request is answered now or later. */
void command_run(struct client *client, struct peer_request *request);

/* Commands with more to them than a few lines, in files of their own. */
void command_create(
    struct client *client, struct domain *none, struct peer_request *request);
void command_fork(
    struct client *client, struct domain *domain, struct peer_request *request);
void command_launch(
    struct client *client, struct domain *domain, struct peer_request *request);
void command_reset(
    struct client *client, struct domain *domain, struct peer_request *request);
void command_list(
    struct client *client, struct domain *none, struct peer_request *request);
void command_destroy(
    struct client *client, struct domain *domain, struct peer_request *request);
void command_info(
    struct client *client, struct domain *domain, struct peer_request *request);
void command_console(
    struct client *client, struct domain *domain, struct peer_request *request);

#endif
