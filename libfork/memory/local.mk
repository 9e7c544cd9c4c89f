libfork_sources += \
	libfork/memory/delta.c \
	libfork/memory/delta.h \
	libfork/memory/dirty_set.c \
	libfork/memory/dirty_set.h \
	libfork/memory/image.c \
	libfork/memory/image.h \
	libfork/memory/layer.c \
	libfork/memory/layer.h \
	libfork/memory/map.c \
	libfork/memory/map.h \
	libfork/memory/pagemap.c \
	libfork/memory/ram_file.c \
	libfork/memory/ram_file.h \
	libfork/memory/view.c \
	libfork/memory/view.h \
	libfork/memory/view_find.c
