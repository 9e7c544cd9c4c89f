# cpu: x86 vCPU state as one table, CPUID tables, page-table walk.

libfork_sources += \
	libfork/cpu/cpuid.h \
	libfork/cpu/groups.def \
	libfork/cpu/state.h
