libfork_sources += \
	libfork/include/libfork/domain_config.h \
	libfork/include/libfork/qemu.h \
	libfork/qemu/qmp.c \
	libfork/qemu/qmp.h
