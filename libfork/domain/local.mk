libfork_sources += \
	libfork/domain/backend.h \
	libfork/domain/domain.c \
	libfork/domain/kvm.c
