# cpu: x86 vCPU state as one table, CPUID tables, page-table walk.

cpu_sources = \
	libfork/cpu/arch.h \
	libfork/cpu/chips.c \
	libfork/cpu/chips.def \
	libfork/cpu/chips.h \
	libfork/cpu/compare.c \
	libfork/cpu/cpuid.c \
	libfork/cpu/cpuid.h \
	libfork/cpu/fields.c \
	libfork/cpu/fields.h \
	libfork/cpu/groups.def \
	libfork/cpu/msr.h \
	libfork/cpu/state.c \
	libfork/cpu/state.h \
	libfork/cpu/walk.c \
	libfork/cpu/walk.h
libfork_sources += $(cpu_sources)
