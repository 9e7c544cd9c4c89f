libfork_sources += \
	libfork/domain/backend.h
