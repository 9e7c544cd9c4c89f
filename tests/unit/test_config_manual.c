/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xlfork.cfg(5) says what the parser does: it names every key and no other, and
 * its examples can be read. The schema has no element that no test reads.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/config_file.h"
#include "config/xl.h"

/* A file of the source tree with a NUL after it; the caller frees it. */
static char *
read_source(const char *name)
{
	char path[PATH_MAX];
	char *text = calloc(1, 1 << 18);
	FILE *file;

	cr_assert_not_null(getenv("top_srcdir"));
	snprintf(path, sizeof(path), "%s/%s", getenv("top_srcdir"), name);
	file = fopen(path, "re");
	cr_assert_not_null(file, "no %s", path);
	cr_assert_gt(fread(text, 1, (1 << 18) - 1, file), 0);
	fclose(file);
	return text;
}

static char *
read_manual(void)
{
	return read_source("docs/xlfork.cfg.5");
}

/* Whether a line ".It Ic ... KEY ..." is there. */
static bool
describes(const char *manual, const char *key)
{
	static const char tag[] = "\n.It Ic ";
	const char *line = manual;
	size_t len = strlen(key);

	while ((line = strstr(line, tag)) != NULL) {
		const char *word = line + strlen(tag);
		const char *end = strchr(word, '\n');

		while (word < end) {
			size_t word_len = strcspn(word, " \n");

			if (word_len == len && memcmp(word, key, len) == 0)
				return true;
			word += word_len + 1;
		}
		line = end;
	}
	return false;
}

Test(config_manual, describes_every_key)
{
	cleanup_free char *manual = read_manual();

	for (size_t i = 0; i < xl_key_count; i++)
		cr_expect(describes(manual, xl_keys[i].name),
		    "xlfork.cfg(5) does not describe '%s'", xl_keys[i].name);
}

Test(config_manual, describes_no_other_key)
{
	cleanup_free char *manual = read_manual();
	char *line = manual, *save = NULL;

	for (line = strtok_r(manual, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		char *words = NULL, *word;

		if (strncmp(line, ".It Ic ", 7) != 0)
			continue;
		for (word = strtok_r(line + 7, " ", &words); word != NULL;
		     word = strtok_r(NULL, " ", &words)) {
			bool found = strcmp(word, ",") == 0;

			for (size_t i = 0; i < xl_key_count && !found; i++)
				found = strcmp(word, xl_keys[i].name) == 0;
			cr_expect(found, "there is no key '%s'", word);
		}
	}
}

Test(config_manual, examples_can_be_read)
{
	cleanup_free char *manual = read_manual();
	const char *at = manual;
	int count = 0;

	while ((at = strstr(at, "\n.Bd -literal")) != NULL) {
		const char *start = strchr(at + 1, '\n') + 1;
		const char *end = strstr(start, ".Ed\n");
		struct lf_domain_config *config = NULL;
		struct lf_error error = {0};

		cr_assert_not_null(end);
		cr_expect_eq(config_parse(start, (size_t)(end - start),
				 "example", &config, &error),
		    0, "%s", error.message);
		lf_domain_config_free(config);
		at = end;
		count++;
	}
	cr_assert_geq(count, 3);
}

Test(config_manual, every_element_of_the_schema_is_in_the_tested_example)
{
	static const char tag[] = "<element name=\"";
	cleanup_free char *schema = read_source("libfork/config/domain.rng");
	cleanup_free char *example =
	    read_source("tests/data/config/pass-everything.xml");
	const char *at = schema;
	int count = 0;

	while ((at = strstr(at, tag)) != NULL) {
		char plain[64], qemu[64];
		int len;

		at += strlen(tag);
		len = (int)strcspn(at, "\"");
		snprintf(plain, sizeof(plain), "<%.*s", len, at);
		snprintf(qemu, sizeof(qemu), "<qemu:%.*s", len, at);
		cr_expect(strstr(example, plain) != NULL ||
			      strstr(example, qemu) != NULL,
		    "no %s> in the example", plain);
		count++;
	}
	cr_assert_gt(count, 30);
}
