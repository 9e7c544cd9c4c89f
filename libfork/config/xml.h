/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt-style domain XML: parser and printer. Nothing outside of the text
 * is looked at: a document type, and with it every entity of the document's
 * own, is refused.
 */
#ifndef CONFIG_XML_H
#define CONFIG_XML_H

#include <stdbool.h>
#include <stddef.h>

#include <libxml/tree.h>
#include <libxml/xmlerror.h>

#include "config/source.h"

#define XML_QEMU_NAMESPACE "http://libvirt.org/schemas/domain/qemu/1.0"

/* A configuration while it is read. */
struct xml {
	struct source source;
	struct lf_domain_config *config;
	struct lf_disk *disk;       /* whose element we are in */
	struct lf_network *network; /* the same */
	struct lf_forward forward;  /* what ranges have in common */
	bool has_video, has_firmware_type;

	/* The first complaint of libxml2. */
	bool complained, no_memory;
	unsigned line, column;
	char message[256];
};

/*
 * Whether each element and attribute is one that xlfork knows: -EINVAL with
 * the names of all that are not. Then whether attributes have values that they
 * may have, and no element is there too often.
 */
int xml_check_names(struct xml *xml, const xmlNode *root);

/* After that: takes the document into the configuration. */
int xml_take(struct xml *xml, const xmlNode *root);

int xml_parse(const char *text, size_t len, const char *file,
    struct lf_domain_config **ret_config, struct lf_error *error);
int xml_print(const struct lf_domain_config *config, char **ret_text,
    struct lf_error *error);

#endif
