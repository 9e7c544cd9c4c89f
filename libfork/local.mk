# libfork: every room adds its files to libfork_sources. They are built once,
# into libcore; libfork.so is libcore with the public symbols exported, and the
# tests link libcore so that they reach what is inside.

libfork_sources =
include_libforkdir = $(includedir)/libfork
include_libfork_HEADERS = \
	libfork/include/libfork/domain.h \
	libfork/include/libfork/error.h \
	libfork/include/libfork/exit.h \
	libfork/include/libfork/fork_options.h \
	libfork/include/libfork/host.h \
	libfork/include/libfork/launcher.h \
	libfork/include/libfork/libfork.h \
	libfork/include/libfork/log.h \
	libfork/include/libfork/dm_pool.h \
	libfork/include/libfork/pool.h \
	libfork/include/libfork/snapshot.h \
	libfork/include/libfork/vcpu.h

noinst_LTLIBRARIES += libfork/libcore.la
libfork_libcore_la_SOURCES = $(libfork_sources)
libfork_libcore_la_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) \
	$(CAPSTONE_CFLAGS)
libfork_libcore_la_LIBADD = libfork/base/libbase.la $(JANSSON_LIBS) \
	$(CAPSTONE_LIBS)

lib_LTLIBRARIES += libfork/libfork.la
libfork_libfork_la_SOURCES =
libfork_libfork_la_LIBADD = libfork/libcore.la
libfork_libfork_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 \
	-Wl,--version-script=$(top_srcdir)/libfork/libfork.map
libfork_libfork_la_DEPENDENCIES = libfork/libcore.la \
	$(top_srcdir)/libfork/libfork.map
EXTRA_DIST += libfork/libfork.map libfork/libfork.pc.in
pkgconfig_DATA += libfork/libfork.pc
