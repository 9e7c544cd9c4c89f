libfork_sources += \
	libfork/snapshot/builder.c \
	libfork/snapshot/chips_json.c \
	libfork/snapshot/chips_json.h \
	libfork/snapshot/devstate.c \
	libfork/snapshot/hex_json.c \
	libfork/snapshot/hex_json.h \
	libfork/snapshot/manifest.c \
	libfork/snapshot/manifest.h \
	libfork/snapshot/regs.c \
	libfork/snapshot/regs.h \
	libfork/snapshot/snapshot.c \
	libfork/snapshot/snapshot.h \
	libfork/snapshot/transfer.c \
	libfork/snapshot/vcpu_json.c \
	libfork/snapshot/vcpu_json.h
