include_libfork_HEADERS += \
	libfork/include/libfork/domain_config.h \
	libfork/include/libfork/qemu.h

libfork_sources += \
	libfork/qemu/qmp.c \
	libfork/qemu/qmp.h \
	libfork/qemu/stream.c \
	libfork/qemu/stream.h \
	libfork/qemu/stream_ram.c \
	libfork/qemu/stream_ram.h \
	libfork/qemu/stream_source.c \
	libfork/qemu/stream_source.h \
	libfork/qemu/vmdesc.c \
	libfork/qemu/vmdesc.h
