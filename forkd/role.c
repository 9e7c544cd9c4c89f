/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two tables of what forkd and a domain process say to each other.
 */
#include "forkd/role.h"

#include <string.h>

#define PATH_BYTES 4095
#define END                                  \
	{                                    \
		NULL, CONTROL_BOOL, 0, 0, "" \
	}

#define DOMAIN                                           \
	{                                                \
		"domain", CONTROL_UINT, true, INT32_MAX, \
		    "the id of the domain that is meant" \
	}

static const struct control_argument only_domain[] = {DOMAIN, END};

static const struct control_argument boot[] = {
    DOMAIN,
    {"config", CONTROL_OBJECT, true, 0, "complete configuration"},
    {"paused", CONTROL_BOOL, true, 0, "leave it paused"},
    END,
};

static const struct control_argument fork_[] = {
    DOMAIN,
    {"config", CONTROL_OBJECT, true, 0, "complete configuration"},
    {"paused", CONTROL_BOOL, true, 0, "leave it paused"},
    {"origin", CONTROL_FD, true, 0, "connection that brings the snapshot"},
    {"devstate", CONTROL_FD, false, 0, "device state of its own"},
    END,
};

static const struct control_argument freeze[] = {
    DOMAIN,
    {"at", CONTROL_STRING, false, CONTROL_SYMBOL_BYTES_MAX,
	"run to this address first"},
    {"guest-symbols", CONTROL_BOOL, false, 0, "it is one of its kernel's"},
    {"cr3", CONTROL_UINT, false, (1ULL << 52) - 1, "with this page table"},
    {"arrivals", CONTROL_UINT, false, INT32_MAX, "for the Nth time"},
    {"timeout", CONTROL_UINT, false, CONTROL_FREEZE_SECONDS_MAX, "seconds"},
    END,
};

static const struct control_argument save_devstate[] = {
    DOMAIN,
    {"fd", CONTROL_FD, true, 0, "file to write"},
    END,
};

static const struct control_argument send_snapshot[] = {
    DOMAIN,
    {"fd", CONTROL_FD, true, 0, "connection to send it over: the lease"},
    {"holder", CONTROL_UINT, false, INT32_MAX,
	"the fork's id; without it the holder is no domain"},
    END,
};

static const struct control_argument fork_here[] = {
    DOMAIN,
    {"id", CONTROL_UINT, true, INT32_MAX, "the fork's id"},
    {"name", CONTROL_STRING, true, 128, "the fork's name"},
    {"paused", CONTROL_BOOL, true, 0, "leave it paused"},
    {"options", CONTROL_OBJECT, true, 0, "as those of fork-vm"},
    END,
};

static const struct control_argument prepare[] = {
    DOMAIN,
    {"config", CONTROL_OBJECT, true, 0, "complete configuration"},
    END,
};

static const struct control_argument launch[] = {
    DOMAIN,
    {"config", CONTROL_OBJECT, true, 0, "complete configuration"},
    {"paused", CONTROL_BOOL, true, 0, "leave it paused"},
    {"devstate", CONTROL_FD, false, 0, "device state of its own"},
    END,
};

static const struct control_argument reset[] = {
    DOMAIN,
    {"paused", CONTROL_BOOL, true, 0, "leave it paused"},
    END,
};

const struct role_command role_commands[ROLE_COMMAND_COUNT] = {
    [ROLE_DESCRIBE] = {"describe", only_domain},
    [ROLE_CHECK_LEASES] = {"check-leases", only_domain},
    [ROLE_BOOT] = {"boot", boot},
    [ROLE_FORK] = {"fork", fork_},
    [ROLE_PAUSE] = {"pause", only_domain},
    [ROLE_UNPAUSE] = {"unpause", only_domain},
    [ROLE_SHUTDOWN] = {"shutdown", only_domain},
    [ROLE_FREEZE] = {"freeze", freeze},
    [ROLE_SAVE_DEVSTATE] = {"save-devstate", save_devstate},
    [ROLE_SEND_SNAPSHOT] = {"send-snapshot", send_snapshot},
    [ROLE_FORK_HERE] = {"fork-here", fork_here},
    [ROLE_PREPARE] = {"prepare", prepare},
    [ROLE_LAUNCH] = {"launch", launch},
    [ROLE_RESET] = {"reset", reset},
    [ROLE_REGISTERS] = {"registers", only_domain},
    [ROLE_PAGES] = {"pages", only_domain},
    [ROLE_DESTROY] = {"destroy", only_domain},
};

/* The configuration is the one on record. */
static const struct control_argument start_qemu[] = {
    DOMAIN,
    {"ram", CONTROL_FD, true, 0, "guest memory"},
    {"share-ram", CONTROL_BOOL, true, 0, "not copy-on-write"},
    {"probe", CONTROL_BOOL, false, 0, "of the CPU, not the guest"},
    {"incoming", CONTROL_BOOL, true, 0, "to be given a state"},
    {"disks", CONTROL_OBJECT, false, 0, "files of each disk"},
    {"nvram", CONTROL_OBJECT, false, 0, "files of the flash variables"},
    END,
};

static const struct control_argument open_image[] = {
    DOMAIN,
    {"path", CONTROL_STRING, true, PATH_BYTES, "image to look at"},
    END,
};

static const struct control_argument make_overlay[] = {
    DOMAIN,
    {"backing", CONTROL_STRING, true, PATH_BYTES, "image below"},
    {"format", CONTROL_STRING, true, 16, "the format of it"},
    {"bytes", CONTROL_UINT, true, INT64_MAX, "size of the disk"},
    {"path", CONTROL_STRING, false, PATH_BYTES, "file to make"},
    {"label", CONTROL_STRING, false, 128, "part of a chosen name"},
    END,
};

static const struct control_argument remove_overlay[] = {
    DOMAIN,
    {"path", CONTROL_STRING, true, PATH_BYTES, "file to remove"},
    END,
};

const struct role_command role_needs[ROLE_NEED_COUNT] = {
    [ROLE_START_QEMU] = {"start-qemu", start_qemu},
    [ROLE_OPEN_IMAGE] = {"open-image", open_image},
    [ROLE_MAKE_OVERLAY] = {"make-overlay", make_overlay},
    [ROLE_REMOVE_OVERLAY] = {"remove-overlay", remove_overlay},
};

int
role_find(const struct role_command *table, int count, const char *name)
{
	int i;

	for (i = 0; i < count; i++)
		if (strcmp(table[i].name, name) == 0)
			return i;
	return -1;
}
