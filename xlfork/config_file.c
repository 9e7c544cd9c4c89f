/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configuration files. Parsing is config/'s; here they become what forkd
 * takes, what QEMU would be started with, or the other syntax.
 */
#include "xlfork/config_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/host.h>
#include <libfork/qemu.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "config/config_file.h"
#include "control/paths.h"
#include "xlfork/output_file.h"

DEFINE_CLEANUP(struct lf_domain_config *, lf_domain_config_free);
DEFINE_CLEANUP(struct lf_qemu_argv *, lf_qemu_argv_free);

/* Reads a file; paths in it are absolute afterwards. */
static int
read_absolute(const char *path, struct lf_domain_config **ret_config,
    struct lf_error *error)
{
	cleanup(lf_domain_config_free_p) struct lf_domain_config *config = NULL;
	enum config_syntax syntax;
	int rc;

	rc = config_read(path, &config, &syntax, error);
	if (rc == 0)
		rc = config_make_absolute(config, error);
	if (rc < 0)
		return rc;
	*ret_config = take_ptr(config);
	return 0;
}

int
config_file_load(const char *path, json_t **ret_config, struct lf_error *error)
{
	cleanup(lf_domain_config_free_p) struct lf_domain_config *config = NULL;
	cleanup_free char *text = NULL;
	json_error_t where;
	json_t *json;
	int rc;

	rc = read_absolute(path, &config, error);
	if (rc == 0)
		rc = lf_domain_config_to_json(config, &text, error);
	if (rc < 0)
		return rc;
	json = json_loads(text, 0, &where);
	if (json == NULL)
		return error_set(error, EINVAL,
		    "'%.256s' cannot go to forkd: %s", path, where.text);
	*ret_config = json;
	return 0;
}

/* What forkd would decide and choose for this configuration. */
static int
fill_options(struct lf_domain_config *config,
    struct lf_qemu_argv_options *options, char **ret_vnc,
    struct lf_error *error)
{
	cleanup_free char *run_dir = NULL;
	struct lf_host host;
	char reason[256];
	int rc;

	rc = lf_domain_config_complete(config, error);
	if (rc < 0)
		return rc;
	options->accelerator = LF_ACCELERATOR_TCG;
	if (config->accelerator == LF_ACCELERATOR_AUTO) {
		rc = lf_host_probe(&host, error);
		if (rc < 0)
			return rc;
		if (lf_host_prefers_kvm(&host, reason, sizeof(reason)))
			options->accelerator = LF_ACCELERATOR_KVM;
	}
	rc = control_run_dir(&run_dir, error);
	if (rc < 0)
		return rc;
	if (asprintf(ret_vnc, "%s/vnc-%s", run_dir, config->name) < 0) {
		*ret_vnc = NULL;
		return error_nomem(error);
	}
	options->vnc_socket = *ret_vnc;
	return 0;
}

int
config_file_dry_run(const char *path, struct lf_error *error)
{
	cleanup(lf_domain_config_free_p) struct lf_domain_config *config = NULL;
	cleanup(lf_qemu_argv_free_p) struct lf_qemu_argv *argv = NULL;
	struct lf_qemu_argv_options options = {.share_ram = true};
	cleanup_free char *vnc = NULL, *text = NULL;
	int rc;

	rc = read_absolute(path, &config, error);
	if (rc == 0)
		rc = fill_options(config, &options, &vnc, error);
	if (rc == 0)
		rc = lf_qemu_argv_build(config, &options, &argv, error);
	if (rc == 0)
		rc = lf_qemu_argv_print(argv, &text, error);
	if (rc == 0)
		fputs(text, stdout);
	return rc;
}

static int
write_file(const char *path, const char *text, struct lf_error *error)
{
	struct output_file file;
	int rc;

	rc = output_file_open(path, &file, error);
	if (rc < 0)
		return rc;
	if (dprintf(file.fd, "%s", text) < 0)
		rc = error_sys(error, errno, "cannot write to '%.256s'", path);
	return output_file_finish(&file, rc, error);
}

int
config_file_convert(
    const char *path, const char *output, struct lf_error *error)
{
	cleanup(lf_domain_config_free_p) struct lf_domain_config *config = NULL;
	cleanup_free char *text = NULL;
	enum config_syntax syntax;
	int rc;

	rc = config_read(path, &config, &syntax, error);
	if (rc == 0)
		rc = config_print(config,
		    syntax == CONFIG_SYNTAX_XL ? CONFIG_SYNTAX_XML
					       : CONFIG_SYNTAX_XL,
		    &text, error);
	if (rc < 0)
		return rc;
	if (output != NULL)
		return write_file(output, text, error);
	fputs(text, stdout);
	return 0;
}
