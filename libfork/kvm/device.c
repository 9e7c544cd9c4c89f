/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening /dev/kvm and asking it what it can do.
 */
#include "kvm/device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cpu/state.h"
#include "kvm/internal.h"

DEFINE_CLEANUP(struct kvm_device *, kvm_device_free);

_Static_assert(
    sizeof(struct kvm_cpuid_entry2) == sizeof(struct cpu_cpuid_entry) &&
	offsetof(struct kvm_cpuid2, entries) ==
	    offsetof(struct cpu_cpuid, entry),
    "a CPUID table is handed to KVM in place");

/* What libfork cannot do without. */
static const struct {
	int cap;
	const char *name;
} required[] = {
    {KVM_CAP_USER_MEMORY, "user memory"},
    {KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
    {KVM_CAP_EXT_CPUID, "CPUID"},
    {KVM_CAP_MP_STATE, "run state"},
    {KVM_CAP_VCPU_EVENTS, "vCPU events"},
    {KVM_CAP_DEBUGREGS, "debug registers"},
    {KVM_CAP_XSAVE, "XSAVE"},
    {KVM_CAP_XCRS, "XCRs"},
};

/* A capability's number; 0: not there. */
static int
cap(const struct kvm_device *device, int number)
{
	int r = kvm_ioctl(
	    device->fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)number);

	return r > 0 ? r : 0;
}

static void
ask_caps(struct kvm_device *device)
{
	int r;

	r = cap(device, KVM_CAP_XSAVE2);
	device->xsave_len = r > CPU_XSAVE_MIN ? r : CPU_XSAVE_MIN;
	device->ring_cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL;
	r = cap(device, KVM_CAP_DIRTY_LOG_RING_ACQ_REL);
	if (r == 0) {
		device->ring_cap = KVM_CAP_DIRTY_LOG_RING;
		r = cap(device, KVM_CAP_DIRTY_LOG_RING);
	}
	device->ring_entries_max = r / sizeof(struct kvm_dirty_gfn);
	r = cap(device, KVM_CAP_SYNC_REGS);
	device->sync_regs =
	    (r & KVM_SYNC_X86_VALID_FIELDS) == KVM_SYNC_X86_VALID_FIELDS;
	device->sregs2 = cap(device, KVM_CAP_SREGS2) > 0;
	r = cap(device, KVM_CAP_SET_GUEST_DEBUG2);
	device->block_irq = (r & KVM_GUESTDBG_BLOCKIRQ) != 0;
	device->split_irqchip = cap(device, KVM_CAP_SPLIT_IRQCHIP) > 0;
	device->exception_payload = cap(device, KVM_CAP_EXCEPTION_PAYLOAD) > 0;
	device->triple_fault_event =
	    cap(device, KVM_CAP_X86_TRIPLE_FAULT_EVENT) > 0;
	device->x2apic_api = cap(device, KVM_CAP_X2APIC_API) > 0;
	device->hyperv_synic = cap(device, KVM_CAP_HYPERV_SYNIC2) > 0;
	device->nested_state = cap(device, KVM_CAP_NESTED_STATE) > 0;
	device->smm = cap(device, KVM_CAP_X86_SMM) > 0;
	r = cap(device, KVM_CAP_X86_USER_SPACE_MSR);
	device->user_space_msr = r > 0;
	device->msr_filter = r > 0 && cap(device, KVM_CAP_X86_MSR_FILTER) > 0;
	device->emulation_failure_bytes =
	    cap(device, KVM_CAP_EXIT_ON_EMULATION_FAILURE) > 0;
	r = cap(device, KVM_CAP_DISABLE_QUIRKS2);
	device->quirk_out_7e = (r & KVM_X86_QUIRK_OUT_7E_INC_RIP) != 0;
	r = cap(device, KVM_CAP_NR_MEMSLOTS);
	device->memslots_max = r > 0 ? r : 32;
	r = cap(device, KVM_CAP_MAX_VCPUS);
	device->vcpus_max = r > 0 ? r : 4;
}

static int
ask_cpuid(struct kvm_device *device, struct lf_error *error)
{
	int r;

	device->cpuid.count = CPU_CPUID_MAX;
	r = kvm_ioctl(device->fd, KVM_GET_SUPPORTED_CPUID, &device->cpuid);
	if (r < 0)
		return error_sys(error, -r, "KVM: cannot ask for CPUID");
	return 0;
}

static int
ask_msrs(struct kvm_device *device, struct lf_error *error)
{
	struct kvm_msr_list *list;
	int r;

	list = sys.calloc(1, sizeof(*list) + sizeof(device->msrs));
	if (list == NULL)
		return error_nomem(error);
	list->nmsrs = KVM_DEVICE_MSRS_MAX;
	r = kvm_ioctl(device->fd, KVM_GET_MSR_INDEX_LIST, list);
	if (r >= 0) {
		device->msr_count = list->nmsrs;
		memcpy(device->msrs, list->indices,
		    list->nmsrs * sizeof(list->indices[0]));
	}
	free(list);
	if (r < 0)
		return error_sys(
		    error, -r, "KVM: cannot ask which MSRs there are");
	return 0;
}

/* Who asks may be another user than the one who types: forkd's for QEMU. */
static int
refused(const char *path, struct lf_error *error)
{
	struct stat st;

	if (sys.stat(path, &st) == 0 && st.st_gid != 0 &&
	    (st.st_mode & 0060) == 0060)
		return error_set(error, EACCES,
		    "no permission for KVM: user %u may not read and write "
		    "%s; add the user to its group, %u",
		    geteuid(), path, st.st_gid);
	return error_set(error, EACCES,
	    "no permission for KVM: user %u may not read and write %s, and "
	    "no group may; as root: chgrp kvm %s && chmod 660 %s",
	    geteuid(), path, path, path);
}

static int
open_device(const char *path, struct lf_error *error)
{
	int fd = sys.open(path, O_RDWR | O_CLOEXEC, 0);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		return error_set(error, ENOENT,
		    "no KVM: %s is not there; load the module kvm-intel or "
		    "kvm-amd, and enable virtualization in the firmware",
		    path);
	case EACCES:
	case EPERM:
		return refused(path, error);
	default:
		return error_sys(error, errno, "cannot open KVM at %s", path);
	}
}

/* Asks KVM at `take_fd` everything. */
static int
ask(const char *path, int take_fd, struct kvm_device **ret,
    struct lf_error *error)
{
	cleanup(kvm_device_free_p) struct kvm_device *device = NULL;
	unsigned i;
	int r, rc;

	device = sys.calloc(1, sizeof(*device));
	if (device == NULL) {
		close_fd(take_fd);
		return error_nomem(error);
	}
	device->fd = take_fd;
	r = kvm_ioctl(device->fd, KVM_GET_API_VERSION, NULL);
	if (r != KVM_API_VERSION)
		return error_set(error, ENOTSUP,
		    "%s: %s, version %d of its interface is wanted", path,
		    r < 0 ? "this is not KVM" : "another version",
		    KVM_API_VERSION);
	for (i = 0; i < sizeof(required) / sizeof(required[0]); i++)
		if (cap(device, required[i].cap) == 0)
			return error_set(error, ENOTSUP,
			    "KVM here lacks '%s' (capability %d); Linux 6.1 or "
			    "newer is needed",
			    required[i].name, required[i].cap);
	r = kvm_ioctl(device->fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
	if (r < (int)sizeof(struct kvm_run))
		return error_set(error, ENOTSUP,
		    "KVM: cannot ask for the size of a vCPU's run page");
	device->run_bytes = r;
	ask_caps(device);
	rc = ask_cpuid(device, error);
	if (rc == 0)
		rc = ask_msrs(device, error);
	if (rc == 0)
		rc = manners_measure(device, error);
	if (rc == 0)
		rc = measure_msr_filter(device, error);
	if (rc == 0)
		rc = measure_tsc(device, error);
	if (rc < 0)
		return rc;
	*ret = take_ptr(device);
	return 0;
}

int
kvm_device_open(
    const char *path, struct kvm_device **ret, struct lf_error *error)
{
	int fd = open_device(path, error);

	return fd < 0 ? fd : ask(path, fd, ret, error);
}

void
kvm_device_free(struct kvm_device *device)
{
	if (device == NULL)
		return;
	close_fd(device->fd);
	free(device);
}

/* The process's device: opened ahead (or why not), and asked. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kvm_device *shared;
static bool ahead;
static int ahead_fd;
static struct lf_error ahead_error;

void
kvm_device_open_ahead(void)
{
	pthread_mutex_lock(&lock);
	if (!ahead && shared == NULL) {
		ahead_fd = open_device(KVM_DEVICE_PATH, &ahead_error);
		ahead = true;
	}
	pthread_mutex_unlock(&lock);
}

int
kvm_device_get(const struct kvm_device **ret, struct lf_error *error)
{
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (shared == NULL && ahead) {
		rc = ahead_fd;
		if (rc < 0 && error != NULL)
			*error = ahead_error;
		/* Kept: who had to open it ahead cannot do it again. */
		else if (rc >= 0)
			rc = sys.fcntl(ahead_fd, F_DUPFD_CLOEXEC, 0);
		if (rc >= 0)
			rc = ask(KVM_DEVICE_PATH, rc, &shared, error);
	} else if (shared == NULL)
		rc = kvm_device_open(KVM_DEVICE_PATH, &shared, error);
	*ret = shared;
	pthread_mutex_unlock(&lock);
	return rc;
}
