/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of forkd's commands.
 */
#include "control/messages.h"

#include <stdint.h>
#include <string.h>

/* Longest text of a domain's id or name, as in domain_config.h. */
#define NAME_MAX_BYTES 128

#define DOMAIN                                                  \
	{                                                       \
		"domain", CONTROL_STRING, true, NAME_MAX_BYTES, \
		    "the domain's id or name"                   \
	}
#define END                                  \
	{                                    \
		NULL, CONTROL_BOOL, 0, 0, "" \
	}

static const struct control_argument no_arguments[] = {END};
static const struct control_argument only_domain[] = {DOMAIN, END};

static const struct control_argument capabilities_arguments[] = {
    {"enable", CONTROL_OBJECT, false, 0, "ignored; for QMP clients"},
    END,
};

static const struct control_argument create_arguments[] = {
    {"config", CONTROL_OBJECT, true, 0,
	"the configuration, as lf_domain_config_to_json() writes it; every "
	"path absolute"},
    {"paused", CONTROL_BOOL, false, 0, "do not let the guest run yet"},
    END,
};

static const struct control_argument list_arguments[] = {
    {"domain", CONTROL_STRING, false, NAME_MAX_BYTES, "only this one"},
    {"pages", CONTROL_BOOL, false, 0,
	"count the pages that each has of its own, which takes a moment"},
    END,
};

static const struct control_argument info_arguments[] = {
    DOMAIN,
    {"registers", CONTROL_BOOL, false, 0,
	"also the vCPUs' registers; not of a domain that runs"},
    END,
};

static const struct control_argument name_arguments[] = {
    {"name", CONTROL_STRING, true, NAME_MAX_BYTES, "the domain's name"},
    END,
};

static const struct control_argument rename_arguments[] = {
    DOMAIN,
    {"name", CONTROL_STRING, true, NAME_MAX_BYTES, "the new name"},
    END,
};

static const struct control_argument destroy_arguments[] = {
    DOMAIN,
    {"recursive", CONTROL_BOOL, false, 0,
	"first destroy all domains forked from it"},
    END,
};

static const struct control_argument freeze_arguments[] = {
    DOMAIN,
    {"at", CONTROL_STRING, false, CONTROL_SYMBOL_BYTES_MAX,
	"let it run until a vCPU arrives at this address (0x...) first"},
    {"guest-symbols", CONTROL_BOOL, false, 0,
	"\"at\" is a symbol of the Linux kernel that runs in it, NAME or "
	"NAME+OFFSET"},
    {"cr3", CONTROL_UINT, false, (1ULL << 52) - 1,
	"... with this page table; without it with any"},
    {"arrivals", CONTROL_UINT, false, INT32_MAX,
	"... for the Nth time; 1 without it"},
    {"timeout", CONTROL_UINT, false, CONTROL_FREEZE_SECONDS_MAX,
	"... within so many seconds; 60 without it"},
    END,
};

static const struct control_argument devstate_arguments[] = {
    DOMAIN,
    {"fd", CONTROL_FD, true, 0, "the file to write, open for writing"},
    END,
};

static const struct control_argument lease_arguments[] = {
    DOMAIN,
    {"fd", CONTROL_FD, true, 0,
	"a connected unix stream socket: the snapshot is sent over it, and "
	"held until its other end is closed"},
    END,
};

static const struct control_argument fork_arguments[] = {
    DOMAIN,
    {"config", CONTROL_OBJECT, false, 0,
	"the fork's configuration; without it the parent's with a new name"},
    {"devstate", CONTROL_FD, false, 0,
	"a device-state file, open for reading; without it the snapshot's "
	"own"},
    {"count", CONTROL_UINT, false, 1000, "how many forks; 1 without it"},
    {"paused", CONTROL_BOOL, false, 0, "do not let the forks run yet"},
    {"device-model", CONTROL_BOOL, false, 0,
	"false: without device model, on bare KVM; the rest is for those"},
    {"interrupts", CONTROL_STRING, false, 8, "block, ipi or all"},
    {"io-policy", CONTROL_STRING, false, 8,
	"what a device access does: stop, launch, ignore or crash"},
    {"pv-clock", CONTROL_BOOL, false, 0, "give KVM the guest's clock MSRs"},
    {"verify", CONTROL_UINT, false, UINT32_MAX,
	"compare every so many resets with the snapshot"},
    {"dm-pool", CONTROL_UINT, false, 64,
	"start the device models of so many of the forks, to wait"},
    END,
};

static const struct control_argument launch_arguments[] = {
    DOMAIN,
    {"config", CONTROL_OBJECT, false, 0,
	"what the domain is from then on; without it as it is"},
    {"devstate", CONTROL_FD, false, 0,
	"a device-state file of the instant it was forked from"},
    {"paused", CONTROL_BOOL, false, 0, "do not let it run yet"},
    END,
};

static const struct control_argument reset_arguments[] = {
    DOMAIN,
    {"paused", CONTROL_BOOL, false, 0, "do not let it run yet"},
    END,
};

const struct control_command control_commands[CONTROL_COMMAND_COUNT] = {
    [CONTROL_CAPABILITIES] = {"qmp_capabilities", 0, capabilities_arguments,
	"accepted so that any QMP client can talk to forkd", "{}"},
    [CONTROL_VERSION] = {"query-version", 0, no_arguments, "the daemon itself",
	"{version, pid, uid, run-dir, state-dir, domains, auto-exit}"},
    [CONTROL_CREATE] = {"create", 0, create_arguments,
	"boot a domain under QEMU", "{id, name}"},
    [CONTROL_LIST] = {"list", 0, list_arguments, "the domains, by id",
	"{domains: [{id, name, uuid, state, reason, backend, parent, memory, "
	"vcpus, pid, qemu-pid, own-pages}]}; reason, parent, pid, qemu-pid "
	"and own-pages only where there is one"},
    [CONTROL_INFO] = {"info", CONTROL_ANY_STATE, info_arguments,
	"everything known of one domain",
	"as a row of list, and {accelerator, accelerator-reason, machine, "
	"console: {type, path}, vnc, forwards: [{protocol, host, guest}], "
	"holders: [{id, name}], memory-private, memory-shared, created, "
	"overlays: [path], log: [line], access: {kind, address, size, count, "
	"direction, data}, registers: [{vcpu, rip, ...}]}; numbers in access "
	"and registers are text, 0x..."},
    [CONTROL_DOMID] = {"domid", 0, name_arguments,
	"the id of the domain with this name", "{id}"},
    [CONTROL_DOMNAME] = {"domname", CONTROL_ANY_STATE, only_domain,
	"the name of a domain", "{name}"},
    [CONTROL_RENAME] = {"rename", CONTROL_ANY_STATE, rename_arguments,
	"give a domain another name; names are unique", "{id, name}"},
    [CONTROL_PAUSE] = {"pause", CONTROL_RUNNING, only_domain, "stop the vCPUs",
	"{id, name}"},
    [CONTROL_UNPAUSE] = {"unpause", CONTROL_PAUSED | CONTROL_FROZEN,
	only_domain,
	"let the vCPUs run; a frozen domain drops its snapshot, which is "
	"refused while forks hold it",
	"{id, name}"},
    [CONTROL_SHUTDOWN] = {"shutdown", CONTROL_RUNNING, only_domain,
	"press the power button; the guest decides", "{id, name}"},
    [CONTROL_DESTROY] = {"destroy", CONTROL_ANY_STATE, destroy_arguments,
	"end a domain at once; refused while forks hold its snapshot",
	"{destroyed: [id]}"},
    [CONTROL_CONSOLE] = {"console", CONTROL_ALIVE, only_domain,
	"the domain's serial port",
	"{type: pty|socket|file, path, fd: 0} with an open descriptor; a file "
	"is open for reading"},
    [CONTROL_FREEZE] = {"freeze", CONTROL_RUNNING | CONTROL_PAUSED,
	freeze_arguments, "pause a domain and make its snapshot",
	"{id, name}; with \"at\" also {vcpu, address, cr3, arrivals}"},
    [CONTROL_SAVE_DEVSTATE] = {"save-devstate", CONTROL_ALIVE,
	devstate_arguments,
	"write the snapshot's device state to a file; freezes the domain if "
	"it is not frozen",
	"{id, name, bytes}"},
    [CONTROL_LEASE] = {"lease-snapshot", CONTROL_FROZEN, lease_arguments,
	"send the snapshot of a frozen domain to another process, which holds "
	"it as long as the connection lives",
	"{id, name}"},
    [CONTROL_FORK] = {"fork-vm", CONTROL_ALIVE, fork_arguments,
	"fork a domain; freezes it if it is not frozen",
	"{forks: [{id, name}]}"},
    [CONTROL_LAUNCH] = {"launch-dm", CONTROL_RUNNING | CONTROL_PAUSED,
	launch_arguments, "give a fork without device model its device model",
	"{id, name, device-model}; the last only where one was started in "
	"advance: whether it was that one, or why not"},
    [CONTROL_RESET] = {"reset",
	CONTROL_RUNNING | CONTROL_PAUSED | CONTROL_CRASHED, reset_arguments,
	"take a fork back to its snapshot", "{id, name}"},
    [CONTROL_SUBSCRIBE] = {"subscribe", 0, no_arguments,
	"get events on this connection from now on", "{}"},
    [CONTROL_UNSUBSCRIBE] = {"unsubscribe", 0, no_arguments,
	"get no more events", "{}"},
};

const struct control_command *
control_command_find(const char *name)
{
	size_t i;

	for (i = 0; i < CONTROL_COMMAND_COUNT; i++)
		if (strcmp(control_commands[i].name, name) == 0)
			return &control_commands[i];
	return NULL;
}
