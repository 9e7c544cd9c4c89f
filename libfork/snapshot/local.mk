libfork_sources += \
	libfork/snapshot/builder.c \
	libfork/snapshot/regs.c \
	libfork/snapshot/regs.h \
	libfork/snapshot/snapshot.c \
	libfork/snapshot/snapshot.h

# Device state.
libfork_sources += libfork/snapshot/devstate.c
