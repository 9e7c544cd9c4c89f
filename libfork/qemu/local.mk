include_libfork_HEADERS += \
	libfork/include/libfork/domain_config.h \
	libfork/include/libfork/qemu.h

libfork_sources += \
	libfork/qemu/qmp.c \
	libfork/qemu/qmp.h
