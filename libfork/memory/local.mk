libfork_sources += \
	libfork/memory/image.c \
	libfork/memory/image.h \
	libfork/memory/map.c \
	libfork/memory/map.h
