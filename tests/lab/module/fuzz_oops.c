/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bug in kernel mode for the Linux guest: writing to the module's parameter
 * `oops` writes through a null pointer. tests/guest/make-guest builds it.
 */
#include <linux/module.h>

static int
oops(const char *value, const struct kernel_param *parameter)
{
	*(volatile char *)NULL = value[0];
	return 0;
}

static const struct kernel_param_ops ops = {.set = oops};

module_param_cb(oops, &ops, NULL, 0200);
MODULE_DESCRIPTION("A bug for tests");
MODULE_LICENSE("GPL");
