libfork_sources += \
	libfork/snapshot/builder.c \
	libfork/snapshot/devstate.c \
	libfork/snapshot/manifest.c \
	libfork/snapshot/manifest.h \
	libfork/snapshot/regs.c \
	libfork/snapshot/regs.h \
	libfork/snapshot/snapshot.c \
	libfork/snapshot/snapshot.h \
	libfork/snapshot/transfer.c \
	libfork/snapshot/vcpu_json.c \
	libfork/snapshot/vcpu_json.h
