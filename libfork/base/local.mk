# base: what every room stands on. A convenience library of its own, because
# the programs use it too.

noinst_LTLIBRARIES += libfork/base/libbase.la
libfork_base_libbase_la_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
libfork_base_libbase_la_SOURCES = \
	libfork/base/cleanup.h \
	libfork/base/clock.h \
	libfork/base/error.c \
	libfork/base/error.h \
	libfork/base/fdpass.c \
	libfork/base/fdpass.h \
	libfork/base/frame.c \
	libfork/base/frame.h \
	libfork/base/io.c \
	libfork/base/io.h \
	libfork/base/json_text.c \
	libfork/base/json_text.h \
	libfork/base/log.c \
	libfork/base/log.h \
	libfork/base/reader.c \
	libfork/base/reader.h \
	libfork/base/sys.c \
	libfork/base/sys.h \
	libfork/base/sys_calls.def \
	libfork/base/version.c \
	libfork/base/writer.c \
	libfork/base/writer.h
