# control: what is said to forkd, and a client that says it. A convenience
# library of its own: forkd and xlfork link it and libbase, libfork does not.

noinst_LTLIBRARIES += libfork/control/libcontrol.la
libfork_control_libcontrol_la_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) \
	-DFORKD_PROGRAM='"$(sbindir)/forkd"'
libfork_control_libcontrol_la_LIBADD = $(JANSSON_LIBS)
libfork_control_libcontrol_la_SOURCES = \
	libfork/control/channel.c \
	libfork/control/channel.h \
	libfork/control/client.c \
	libfork/control/client.h \
	libfork/control/messages.c \
	libfork/control/messages.h \
	libfork/control/paths.c \
	libfork/control/paths.h \
	libfork/control/protocol.c \
	libfork/control/start.c \
	libfork/control/start.h
