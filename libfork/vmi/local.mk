# vmi: looking into a guest: symbols, the Linux kernel in its memory.

libfork_sources += \
	libfork/vmi/btf.c \
	libfork/vmi/btf.h \
	libfork/vmi/crash.c \
	libfork/vmi/crash.h \
	libfork/vmi/crash_context.c \
	libfork/vmi/crash_context.h \
	libfork/vmi/crash_write.c \
	libfork/vmi/guest_memory.h \
	libfork/vmi/kallsyms.c \
	libfork/vmi/kallsyms.h \
	libfork/vmi/kernel.c \
	libfork/vmi/kernel.h \
	libfork/vmi/kernel_domain.c \
	libfork/vmi/kernel_find.c \
	libfork/vmi/kernel_log.c \
	libfork/vmi/kernel_modules.c \
	libfork/vmi/probes.c \
	libfork/vmi/probes.h \
	libfork/vmi/sinks.c \
	libfork/vmi/space.c \
	libfork/vmi/space.h \
	libfork/vmi/stack.c \
	libfork/vmi/stack.h \
	libfork/vmi/symbols.c \
	libfork/vmi/symbols.h \
	libfork/vmi/symbols_elf.c \
	libfork/vmi/symbols_file.c \
	libfork/vmi/symbols_nearest.c \
	libfork/vmi/symbols_resolve.c \
	libfork/vmi/symbols_text.c
include_libfork_HEADERS += \
	libfork/include/libfork/crash.h \
	libfork/include/libfork/probe.h \
	libfork/include/libfork/symbols.h \
	libfork/include/libfork/vmi.h
