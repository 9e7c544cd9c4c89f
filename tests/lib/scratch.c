/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A directory of the test's own.
 */
#include "lib/scratch.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char scratch[32];

void
scratch_make(void)
{
	strcpy(scratch, "/tmp/test-scratch-XXXXXX");
	cr_assert_not_null(mkdtemp(scratch));
}

void
scratch_remove(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", scratch);
	cr_assert_eq(system(command), 0);
}

void
scratch_file(const char *path, mode_t mode)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, mode);

	cr_assert_geq(fd, 0);
	cr_assert_eq(fchmod(fd, mode), 0);
	close(fd);
}
