# kvm: the only room that knows <linux/kvm.h>.

kvm_sources = \
	libfork/kvm/access.c \
	libfork/kvm/device.c \
	libfork/kvm/device.h \
	libfork/kvm/dirty_log.c \
	libfork/kvm/dirty_log.h \
	libfork/kvm/enter.c \
	libfork/kvm/exit.c \
	libfork/kvm/find.c \
	libfork/kvm/find.h \
	libfork/kvm/guest_debug.c \
	libfork/kvm/held.c \
	libfork/kvm/held.h \
	libfork/kvm/host.c \
	libfork/kvm/instructions.c \
	libfork/kvm/instructions.h \
	libfork/kvm/internal.h \
	libfork/kvm/ioctl.c \
	libfork/kvm/manners.c \
	libfork/kvm/measure.c \
	libfork/kvm/memslot.c \
	libfork/kvm/page_regs.c \
	libfork/kvm/probe.c \
	libfork/kvm/probe.h \
	libfork/kvm/probe_guest.c \
	libfork/kvm/probe_guest.h \
	libfork/kvm/regs.c \
	libfork/kvm/ring.c \
	libfork/kvm/ring.h \
	libfork/kvm/speed.c \
	libfork/kvm/speed.h \
	libfork/kvm/state_msrs.c \
	libfork/kvm/state_msrs.h \
	libfork/kvm/undo.c \
	libfork/kvm/undo.h \
	libfork/kvm/vcpu.c \
	libfork/kvm/vcpu.h \
	libfork/kvm/vcpu_state.c \
	libfork/kvm/vcpu_state.h \
	libfork/kvm/vm.c \
	libfork/kvm/vm.h \
	libfork/kvm/vm_chips.c \
	libfork/kvm/vm_chips.h \
	libfork/kvm/watch.c \
	libfork/kvm/watch.h
libfork_sources += $(kvm_sources)
