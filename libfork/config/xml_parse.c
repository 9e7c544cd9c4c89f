/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domain XML: well-formed, names and values known, then valid. The schema has
 * the last word, not the first, because what libxml2 says about elements that
 * may stand in any order names neither the value nor the line. It is part of
 * the program.
 */
#include "config/xml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/relaxng.h>

#include "base/cleanup.h"
#include "base/error.h"

/* const char xml_schema[]: domain.rng */
#include "libfork/config/domain_rng.h"

DEFINE_CLEANUP(struct lf_domain_config *, lf_domain_config_free);
DEFINE_CLEANUP(xmlDoc *, xmlFreeDoc);
DEFINE_CLEANUP(xmlParserCtxt *, xmlFreeParserCtxt);
DEFINE_CLEANUP(xmlRelaxNGValidCtxt *, xmlRelaxNGFreeValidCtxt);

/* Everything that libxml2 has to say, from whichever part of it. */
static void
on_error(void *opaque, xmlError *complaint)
{
	struct xml *xml = opaque;

	if (complaint->code == XML_ERR_NO_MEMORY)
		xml->no_memory = true;
	if (xml->line == 0 && complaint->line > 0)
		xml->line = (unsigned)complaint->line;
	if (xml->complained || complaint->level < XML_ERR_ERROR ||
	    complaint->message == NULL)
		return;
	xml->complained = true;
	snprintf(xml->message, sizeof(xml->message), "%s", complaint->message);
	xml->message[strcspn(xml->message, "\n")] = '\0';
	if (complaint->domain == XML_FROM_PARSER)
		xml->column = (unsigned)complaint->int2;
}

static int
not_xml(const struct xml *xml)
{
	if (xml->no_memory)
		return error_nomem(xml->source.error);
	return source_fail(&xml->source, xml->line, xml->column, NULL, "%s",
	    xml->complained ? xml->message : "not XML");
}

/* Called at <!DOCTYPE, before anything in it is read. */
static void
refuse_doctype(void *opaque, const xmlChar *name, const xmlChar *public_id,
    const xmlChar *system_id)
{
	xmlParserCtxt *parser = opaque;
	struct xml *xml = parser->_private;

	(void)name;
	(void)public_id;
	(void)system_id;
	if (!xml->complained) {
		xml->complained = true;
		xml->line = (unsigned)xmlSAX2GetLineNumber(parser);
		xml->column = (unsigned)xmlSAX2GetColumnNumber(parser);
		snprintf(xml->message, sizeof(xml->message),
		    "a document type (<!DOCTYPE) is not accepted");
	}
	xmlStopParser(parser);
}

static int
read_document(struct xml *xml, const char *text, size_t len, xmlDoc **ret_doc)
{
	cleanup(xmlFreeParserCtxt_p) xmlParserCtxt *parser = NULL;
	cleanup(xmlFreeDoc_p) xmlDoc *doc = NULL;

	parser = xmlNewParserCtxt();
	if (parser == NULL)
		return error_nomem(xml->source.error);
	parser->_private = xml;
	parser->sax->internalSubset = refuse_doctype;
	doc = xmlCtxtReadMemory(parser, text, (int)len, xml->source.file, NULL,
	    XML_PARSE_NONET | XML_PARSE_NOCDATA | XML_PARSE_BIG_LINES |
		XML_PARSE_COMPACT);
	if (doc == NULL || xml->complained || xml->no_memory ||
	    !parser->wellFormed || xmlDocGetRootElement(doc) == NULL)
		return not_xml(xml);
	*ret_doc = take_ptr(doc);
	return 0;
}

/* Against the schema: libxml2's words are about elements, not values. */
static int
misfit(const struct xml *xml)
{
	if (xml->no_memory)
		return error_nomem(xml->source.error);
	return source_fail(&xml->source, xml->line, 0, NULL,
	    "does not fit the schema of domain XML (%s)", xml->message);
}

/*
 * The schema, compiled at the first use and kept: it takes most of the time
 * that reading a file takes, and libxml2 2.9 corrupts its heap when memory
 * runs out in the middle of it, a risk to be run once only.
 */
static xmlRelaxNG *
compiled_schema(void)
{
	static xmlRelaxNG *schema;
	xmlRelaxNGParserCtxt *parser;

	if (schema != NULL)
		return schema;
	parser = xmlRelaxNGNewMemParserCtxt(xml_schema, sizeof(xml_schema) - 1);
	if (parser == NULL)
		return NULL;
	schema = xmlRelaxNGParse(parser);
	xmlRelaxNGFreeParserCtxt(parser);
	return schema;
}

static int
validate(struct xml *xml, xmlDoc *doc)
{
	cleanup(xmlRelaxNGFreeValidCtxt_p) xmlRelaxNGValidCtxt *valid = NULL;
	xmlRelaxNG *schema = compiled_schema();

	if (schema != NULL)
		valid = xmlRelaxNGNewValidCtxt(schema);
	/* Our own schema compiles, if there is memory to do it. */
	if (valid == NULL || xml->no_memory)
		return error_nomem(xml->source.error);
	if (xmlRelaxNGValidateDoc(valid, doc) != 0 || xml->no_memory)
		return misfit(xml);
	return 0;
}

static int
parse(struct xml *xml, const char *text, size_t len)
{
	cleanup(xmlFreeDoc_p) xmlDoc *doc = NULL;
	const xmlNode *root;
	int rc;

	rc = read_document(xml, text, len, &doc);
	if (rc < 0)
		return rc;
	root = xmlDocGetRootElement(doc);
	rc = xml_check_names(xml, root);
	if (rc == 0)
		rc = xml_take(xml, root);
	if (rc == 0)
		rc = source_finish(&xml->source, xml->config,
		    xml->has_firmware_type, xml->has_video);
	if (rc == 0)
		rc = validate(xml, doc);
	return rc;
}

int
xml_parse(const char *text, size_t len, const char *file,
    struct lf_domain_config **ret_config, struct lf_error *error)
{
	cleanup(lf_domain_config_free_p) struct lf_domain_config *config = NULL;
	struct xml xml = {.source = {.file = file, .error = error}};
	int rc;

	config = lf_domain_config_new();
	if (config == NULL)
		return error_nomem(error);
	xml.config = config;
	xmlSetStructuredErrorFunc(&xml, on_error);
	rc = parse(&xml, text, len);
	xmlSetStructuredErrorFunc(NULL, NULL);
	if (rc == 0)
		*ret_config = take_ptr(config);
	return rc;
}
