include_libfork_HEADERS += \
	libfork/include/libfork/devstate.h \
	libfork/include/libfork/domain_config.h \
	libfork/include/libfork/qemu.h

# The configuration model and the argument vector.
libfork_sources += \
	libfork/qemu/argv.c \
	libfork/qemu/argv_list.c \
	libfork/qemu/argv_list.h \
	libfork/qemu/domain_config.c \
	libfork/qemu/domain_config_check.c \
	libfork/qemu/domain_config_fork.c \
	libfork/qemu/domain_config_json.c \
	libfork/qemu/domain_config_table.c \
	libfork/qemu/domain_config_table.h \
	libfork/qemu/domain_config_value.h

# Talking to a QEMU that runs.
libfork_sources += \
	libfork/qemu/devfile.c \
	libfork/qemu/devfile.h \
	libfork/qemu/gdb_client.c \
	libfork/qemu/gdb_client.h \
	libfork/qemu/gdb_link.c \
	libfork/qemu/gdb_link.h \
	libfork/qemu/gdb_packet.c \
	libfork/qemu/gdb_packet.h \
	libfork/qemu/guest_map.c \
	libfork/qemu/guest_map.h \
	libfork/qemu/launcher_spawn.c \
	libfork/qemu/mtree.c \
	libfork/qemu/mtree.h \
	libfork/qemu/program.c \
	libfork/qemu/program.h \
	libfork/qemu/qmp.c \
	libfork/qemu/qmp.h \
	libfork/qemu/run_until.c \
	libfork/qemu/run_until.h \
	libfork/qemu/run_until_loop.c \
	libfork/qemu/run_until_loop.h \
	libfork/qemu/stream.c \
	libfork/qemu/stream.h \
	libfork/qemu/stream_ram.c \
	libfork/qemu/stream_ram.h \
	libfork/qemu/stream_source.c \
	libfork/qemu/stream_source.h \
	libfork/qemu/stream_write.c \
	libfork/qemu/stream_write.h \
	libfork/qemu/vmdesc.c \
	libfork/qemu/vmdesc.h

# Device-state files for people.
libfork_sources += \
	libfork/qemu/devstate.c

# The sections of vCPUs and chips, read and written.
libfork_sources += \
	libfork/qemu/apic_section.c \
	libfork/qemu/apic_section.h \
	libfork/qemu/apic_translate.c \
	libfork/qemu/apic_translate.h \
	libfork/qemu/chip_sections.c \
	libfork/qemu/chip_sections.h \
	libfork/qemu/cpu_msrs.c \
	libfork/qemu/cpu_msrs.def \
	libfork/qemu/cpu_msrs.h \
	libfork/qemu/cpu_section.c \
	libfork/qemu/cpu_section.h \
	libfork/qemu/cpu_translate.c \
	libfork/qemu/cpu_translate.h \
	libfork/qemu/cpuid_guest.S \
	libfork/qemu/cpuid_probe.c \
	libfork/qemu/cpuid_probe.h \
	libfork/qemu/devstate_write.c \
	libfork/qemu/devstate_write.h \
	libfork/qemu/timer_section.c \
	libfork/qemu/timer_section.h \
	libfork/qemu/vmstate.c \
	libfork/qemu/vmstate.h \
	libfork/qemu/xsave_layout.c \
	libfork/qemu/xsave_layout.h
