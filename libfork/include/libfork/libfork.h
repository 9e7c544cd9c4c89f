/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libfork: forking of virtual machines on KVM and QEMU. This header brings in
 * all others.
 */
#ifndef LIBFORK_LIBFORK_H
#define LIBFORK_LIBFORK_H

#include <libfork/afl.h>
#include <libfork/crash.h>
#include <libfork/devstate.h>
#include <libfork/dm_pool.h>
#include <libfork/domain.h>
#include <libfork/domain_config.h>
#include <libfork/error.h>
#include <libfork/exit.h>
#include <libfork/fork_options.h>
#include <libfork/fuzz.h>
#include <libfork/host.h>
#include <libfork/launcher.h>
#include <libfork/log.h>
#include <libfork/pool.h>
#include <libfork/probe.h>
#include <libfork/qemu.h>
#include <libfork/snapshot.h>
#include <libfork/symbols.h>
#include <libfork/vcpu.h>
#include <libfork/vmi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library's version, "MAJOR.MINOR.PATCH"; static storage. */
LF_API const char *lf_version(void);

#ifdef __cplusplus
}
#endif

#endif
