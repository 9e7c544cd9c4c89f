/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Texts and attributes of elements. Everything that is handed out belongs to
 * the caller and was allocated with malloc(), not by libxml2.
 */
#include "config/xml_node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"

unsigned
xml_line(const xmlNode *node)
{
	long line = xmlGetLineNo(node);

	return line > 0 ? (unsigned)line : 0;
}

void
xml_note(struct xml *xml, const char *key, size_t index, const xmlNode *node)
{
	source_note(&xml->source, key, index, (const char *)node->name,
	    xml_line(node), 0);
}

/* An element's text as the caller's own, without the space around it. */
int
xml_get_text(struct xml *xml, const xmlNode *node, char **ret_text)
{
	xmlChar *content = xmlNodeGetContent(node);
	const char *text = (const char *)content;
	size_t len;

	if (content == NULL)
		return error_nomem(xml->source.error);
	text += strspn(text, " \t\n\r");
	len = strlen(text);
	while (len > 0 && strchr(" \t\n\r", text[len - 1]) != NULL)
		len--;
	*ret_text = sys.strndup(text, len);
	xmlFree(content);
	return *ret_text != NULL ? 0 : error_nomem(xml->source.error);
}

/* An attribute, NULL when it is not there. */
int
xml_get_attribute(
    struct xml *xml, const xmlNode *node, const char *name, char **ret_value)
{
	xmlChar *value;

	*ret_value = NULL;
	if (xmlHasNsProp(node, (const xmlChar *)name, NULL) == NULL)
		return 0;
	value = xmlGetNoNsProp(node, (const xmlChar *)name);
	if (value == NULL)
		return error_nomem(xml->source.error);
	*ret_value = sys.strdup((const char *)value);
	xmlFree(value);
	return *ret_value != NULL ? 0 : error_nomem(xml->source.error);
}

/* A text of the configuration, taken as it stands; empty is not given. */
int
xml_set_text(struct xml *xml, const xmlNode *node, char **field)
{
	xmlChar *content = xmlNodeGetContent(node);
	int rc = 0;

	if (content == NULL)
		return error_nomem(xml->source.error);
	if (content[0] != '\0')
		rc = lf_domain_config_set(
		    field, (const char *)content, xml->source.error);
	xmlFree(content);
	return rc;
}

int
xml_set_attribute(
    struct xml *xml, const xmlNode *node, const char *name, char **field)
{
	cleanup_free char *value = NULL;
	int rc = xml_get_attribute(xml, node, name, &value);

	if (rc == 0 && value != NULL) {
		free(*field);
		*field = take_ptr(value);
	}
	return rc;
}

/* An attribute that the schema limits to some words. */
int
xml_get_choice(struct xml *xml, const xmlNode *node, const char *name,
    const struct value_choice *choices, unsigned *ret_value)
{
	cleanup_free char *value = NULL;
	int rc = xml_get_attribute(xml, node, name, &value);

	if (rc == 0 && value != NULL &&
	    value_choose(choices, value, ret_value) < 0)
		return xml_fail(
		    xml, node, "%s '%.60s' is unknown", name, value);
	return rc;
}

int
xml_get_port(struct xml *xml, const xmlNode *node, const char *name,
    bool *ret_found, uint16_t *ret_port)
{
	cleanup_free char *value = NULL;
	uint64_t port;
	int rc = xml_get_attribute(xml, node, name, &value);

	*ret_found = value != NULL;
	if (rc < 0 || value == NULL)
		return rc;
	if (value_number(value, UINT16_MAX, &port) < 0)
		return xml_fail(
		    xml, node, "%s '%.60s' is not a port", name, value);
	*ret_port = (uint16_t)port;
	return 0;
}
