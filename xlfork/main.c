/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xlfork: the command line of forkd. Everything is in libxlfork, so that tests
 * can reach it; this is the door.
 */
#include "xlfork/command.h"

#include <locale.h>

#include "base/io.h"

int
main(int argc, char **argv)
{
	if (io_hold_standard() < 0)
		return STATUS_FAILED;
	/* For trees and the width of names; numbers stay as they are. */
	setlocale(LC_CTYPE, "");
	return command_main(argc, argv);
}
