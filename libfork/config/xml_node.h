/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Texts and attributes of elements, with errors that point at them.
 */
#ifndef CONFIG_XML_NODE_H
#define CONFIG_XML_NODE_H

#include <stdint.h>

#include "config/values.h"
#include "config/xml.h"

#define xml_fail(xml, node, ...)                       \
	source_fail(&(xml)->source, xml_line(node), 0, \
	    (const char *)(node)->name, __VA_ARGS__)

unsigned xml_line(const xmlNode *node);

/* Remembers where a key of the model was written. */
void xml_note(
    struct xml *xml, const char *key, size_t index, const xmlNode *node);

/* An element's text without the space around it; the caller frees it. */
int xml_get_text(struct xml *xml, const xmlNode *node, char **ret_text);

/* An attribute; the caller frees it. NULL when it is not there. */
int xml_get_attribute(
    struct xml *xml, const xmlNode *node, const char *name, char **ret_value);

/* An attribute that is one of some words; not there: unchanged. */
int xml_get_choice(struct xml *xml, const xmlNode *node, const char *name,
    const struct value_choice *choices, unsigned *ret_value);

/* A port number; not there: unchanged. */
int xml_get_port(struct xml *xml, const xmlNode *node, const char *name,
    bool *ret_found, uint16_t *ret_port);

/* A text of the configuration, as it stands; empty or not there: unchanged. */
int xml_set_text(struct xml *xml, const xmlNode *node, char **field);
int xml_set_attribute(
    struct xml *xml, const xmlNode *node, const char *name, char **field);

#endif
