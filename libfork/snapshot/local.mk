libfork_sources += \
	libfork/snapshot/snapshot.c \
	libfork/snapshot/snapshot.h
