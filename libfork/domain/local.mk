libfork_sources += \
	libfork/domain/backend.h \
	libfork/domain/domain.c \
	libfork/domain/gang.c \
	libfork/domain/gang.h \
	libfork/domain/kvm.c \
	libfork/domain/kvm.h \
	libfork/domain/kvm_launch.c \
	libfork/domain/kvm_make.c \
	libfork/domain/kvm_probe.c \
	libfork/domain/kvm_reset.c \
	libfork/domain/kvm_run.c \
	libfork/domain/pool.c \
	libfork/domain/pool.h \
	libfork/domain/probe.c \
	libfork/domain/probe.h \
	libfork/domain/state.c \
	libfork/domain/state.h \
	libfork/domain/steal_time.c \
	libfork/domain/steal_time.h \
	libfork/domain/vcpu_stream.c \
	libfork/domain/vcpu_stream.h \
	libfork/domain/worker.c \
	libfork/domain/worker.h

# The qemu backend.
libfork_sources += \
	libfork/domain/dm_pool.c \
	libfork/domain/dm_pool.h \
	libfork/domain/qemu.c \
	libfork/domain/qemu_collect.c \
	libfork/domain/qemu_collect.h \
	libfork/domain/qemu_describe.c \
	libfork/domain/qemu_disks.c \
	libfork/domain/qemu_disks.h \
	libfork/domain/qemu_domain.h \
	libfork/domain/qemu_freeze.c \
	libfork/domain/qemu_process.c \
	libfork/domain/qemu_refuse.c \
	libfork/domain/qemu_refuse.h \
	libfork/domain/qemu_regs.c \
	libfork/domain/qemu_regs.h \
	libfork/domain/qemu_start.c
