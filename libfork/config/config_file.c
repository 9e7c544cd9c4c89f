/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configuration files: which syntax, reading, absolute paths.
 */
#include "config/config_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "base/writer.h"
#include "config/xl.h"
#include "config/xml.h"

enum config_syntax
config_syntax_of(const char *text, size_t len)
{
	static const char mark[] = "\xef\xbb\xbf"; /* UTF-8's */

	if (len >= 3 && memcmp(text, mark, 3) == 0) {
		text += 3;
		len -= 3;
	}
	while (len > 0 && isspace((unsigned char)*text)) {
		text++;
		len--;
	}
	return len > 0 && *text == '<' ? CONFIG_SYNTAX_XML : CONFIG_SYNTAX_XL;
}

int
config_parse(const char *text, size_t len, const char *file,
    struct lf_domain_config **ret_config, struct lf_error *error)
{
	if (len > CONFIG_FILE_MAX)
		return error_set(error, EINVAL,
		    "%s: more than %u bytes, too long for a configuration",
		    file, CONFIG_FILE_MAX);
	if (config_syntax_of(text, len) == CONFIG_SYNTAX_XML)
		return xml_parse(text, len, file, ret_config, error);
	return xl_parse(text, len, file, ret_config, error);
}

int
config_print(const struct lf_domain_config *config, enum config_syntax syntax,
    char **ret_text, struct lf_error *error)
{
	if (syntax == CONFIG_SYNTAX_XML)
		return xml_print(config, ret_text, error);
	return xl_print(config, ret_text, error);
}

static int
read_all(int fd, const char *file, struct writer *w, struct lf_error *error)
{
	char buf[16384];
	ssize_t n;

	while ((n = sys.read(fd, buf, sizeof(buf))) != 0) {
		if (n < 0)
			return error_sys(error, errno, "%s", file);
		writer_bytes(w, buf, (size_t)n);
		if (w->len > CONFIG_FILE_MAX)
			break; /* and the parser says why it refuses */
	}
	return writer_status(w, error);
}

int
config_read(const char *path, struct lf_domain_config **ret_config,
    enum config_syntax *ret_syntax, struct lf_error *error)
{
	cleanup_close int opened = -1;
	cleanup(writer_done) struct writer w = {0};
	const char *file = path;
	int fd = STDIN_FILENO;
	int rc;

	if (strcmp(path, "-") == 0) {
		file = "standard input";
	} else if (path[0] == '\0') {
		return error_set(error, ENOENT,
		    "cannot open '': an empty word is no configuration");
	} else {
		fd = opened = sys.open(path, O_RDONLY | O_CLOEXEC, 0);
		if (fd < 0)
			return error_sys(error, errno, "%s", file);
	}
	rc = read_all(fd, file, &w, error);
	if (rc == 0)
		rc = config_parse(w.data != NULL ? (char *)w.data : "", w.len,
		    file, ret_config, error);
	if (rc == 0 && ret_syntax != NULL)
		*ret_syntax = config_syntax_of((char *)w.data, w.len);
	return rc;
}

static int
make_absolute(char **path, const char *directory, struct lf_error *error)
{
	char *absolute;
	size_t size;

	if (*path == NULL || (*path)[0] == '/')
		return 0;
	size = strlen(directory) + 1 + strlen(*path) + 1;
	if (size > LF_PATH_MAX + 1)
		return error_set(
		    error, ENAMETOOLONG, "'%s' is too long a path", *path);
	absolute = sys.malloc(size);
	if (absolute == NULL)
		return error_nomem(error);
	snprintf(absolute, size, "%s/%s", directory, *path);
	free(*path);
	*path = absolute;
	return 0;
}

int
config_make_absolute(struct lf_domain_config *config, struct lf_error *error)
{
	char **const paths[] = {&config->kernel, &config->ramdisk,
	    &config->firmware.path, &config->firmware.nvram,
	    &config->serial.path, &config->graphics.socket};
	char directory[LF_PATH_MAX + 1];
	int rc = 0;

	if (getcwd(directory, sizeof(directory)) == NULL)
		return error_sys(error, errno, "the current directory");
	for (size_t i = 0; rc == 0 && i < sizeof(paths) / sizeof(paths[0]); i++)
		rc = make_absolute(paths[i], directory, error);
	for (size_t i = 0; rc == 0 && i < config->disk_count; i++)
		rc = make_absolute(&config->disks[i].path, directory, error);
	return rc;
}
