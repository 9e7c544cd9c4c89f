/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configuration files while memory runs out or reading fails: an error and
 * nothing leaked, wherever it happens, also in libxml2.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <libxml/parser.h>
#include <libxml/xmlmemory.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/sys.h"
#include "config/config_file.h"
#include "lib/fault.h"

DEFINE_CLEANUP(struct lf_domain_config *, lf_domain_config_free);
#define cleanup_config cleanup(lf_domain_config_free_p)

/* Blocks that libxml2 has, and whether it was the one that got none. */
static long xml_blocks;
static bool xml_failed;

/*
 * Out of memory, libxml2 2.9 loses blocks of its own: in the validation up to
 * 4, in the writer 2. A document of ours has hundreds.
 */
#define XML_LOST_MAX 4

/*
 * Asked by LeakSanitizer, where there is one. What libxml2 hands out to us and
 * we lose is in xml_blocks.
 */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(
    void);
const char *
__lsan_default_suppressions(void)
{
	return "leak:libxml2\n";
}

static void *
xml_malloc(size_t size)
{
	void *p = sys.malloc(size);

	xml_failed |= p == NULL;
	xml_blocks += p != NULL;
	return p;
}

static void *
xml_realloc(void *old, size_t size)
{
	void *p = sys.realloc(old, size);

	xml_failed |= p == NULL;
	xml_blocks += old == NULL && p != NULL;
	return p;
}

static char *
xml_strdup(const char *s)
{
	char *p = sys.strdup(s);

	xml_failed |= p == NULL;
	xml_blocks += p != NULL;
	return p;
}

static void
xml_free(void *p)
{
	xml_blocks -= p != NULL;
	free(p);
}

static const char *
data_file(const char *name)
{
	static char path[PATH_MAX];

	cr_assert_not_null(getenv("top_srcdir"));
	snprintf(path, sizeof(path), "%s/tests/data/config/%s",
	    getenv("top_srcdir"), name);
	return path;
}

static int
read_and_print(const char *path, enum config_syntax syntax, char **ret_text,
    struct lf_error *error)
{
	cleanup_config struct lf_domain_config *config = NULL;
	int rc;

	rc = config_read(path, &config, NULL, error);
	if (rc == 0)
		rc = config_make_absolute(config, error);
	if (rc == 0)
		rc = config_print(config, syntax, ret_text, error);
	return rc;
}

static void
check_round(const struct fault *fault, int rc, char *text, const char *wanted,
    const struct lf_error *error)
{
	if (fault->hit && rc < 0) {
		cr_assert_null(text);
		cr_assert_str_not_empty(error->message);
		return;
	}
	/* Not every failure is one: libxml2 can do without some of its memory.
	 */
	cr_assert_eq(rc, 0, "round %lu: %s", fault->round, error->message);
	cr_assert_str_eq(text, wanted, "round %lu (%s)", fault->round,
	    fault->name != NULL ? fault->name : "");
	free(text);
}

Test(config_faults, xl_reports_each_and_leaks_nothing)
{
	const char *path = data_file("pass-everything.cfg");
	cleanup_free char *wanted = NULL;

	cr_assert_eq(read_and_print(path, CONFIG_SYNTAX_XL, &wanted, NULL), 0);
	FAULT_LOOP(fault)
	{
		struct lf_error error = {0};
		char *text = NULL;
		int rc;

		rc = read_and_print(path, CONFIG_SYNTAX_XL, &text, &error);
		fault_end(&fault);
		cr_assert(fault.hit ? rc < 0 : rc == 0, "round %lu (%s)",
		    fault.round, fault.name);
		check_round(&fault, rc, text, wanted, &error);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors);
	}
}

Test(config_faults, xml_reports_each_and_leaks_nothing, .timeout = 120)
{
	const char *path = data_file("pass-everything.xml");
	cleanup_free char *wanted = NULL;
	unsigned long failed = 0;

	cr_assert_eq(
	    xmlMemSetup(xml_free, xml_malloc, xml_realloc, xml_strdup), 0);
	/* What libxml2 makes once and keeps is made here. */
	cr_assert_eq(read_and_print(path, CONFIG_SYNTAX_XML, &wanted, NULL), 0);
	FAULT_LOOP(fault)
	{
		struct lf_error error = {0};
		long blocks = xml_blocks;
		char *text = NULL;
		int rc;

		xml_failed = false;
		rc = read_and_print(path, CONFIG_SYNTAX_XML, &text, &error);
		fault_end(&fault);
		failed += rc < 0;
		check_round(&fault, rc, text, wanted, &error);
		xmlResetLastError();
		cr_assert_leq(xml_blocks - blocks,
		    xml_failed ? XML_LOST_MAX : 0, "round %lu (%s): %ld blocks",
		    fault.round, fault.name, xml_blocks - blocks);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors);
	}
	cr_assert_gt(failed, 300);
}
