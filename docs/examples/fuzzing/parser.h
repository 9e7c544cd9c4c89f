/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PARSER_H
#define PARSER_H

#include <stddef.h>

int parse(const unsigned char *bytes, size_t len);

#endif
