# forkd: the daemon, the domain process, the sandbox. Its parts are in a library
# so that the tests reach them.

noinst_LTLIBRARIES += forkd/libforkd.la
forkd_cppflags = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(EVENT_CFLAGS) \
	$(SECCOMP_CFLAGS)
forkd_libforkd_la_CPPFLAGS = $(forkd_cppflags)
forkd_libforkd_la_LIBADD = libfork/control/libcontrol.la $(JANSSON_LIBS) \
	$(EVENT_LIBS) $(SECCOMP_LIBS)
forkd_libforkd_la_SOURCES = \
	forkd/adopt.c \
	forkd/adopt.h \
	forkd/birth.c \
	forkd/birth.h \
	forkd/change.c \
	forkd/change.h \
	forkd/client.c \
	forkd/client.h \
	forkd/command.c \
	forkd/command.h \
	forkd/command_destroy.c \
	forkd/command_info.c \
	forkd/command_list.c \
	forkd/command_make.c \
	forkd/config_json.c \
	forkd/config_json.h \
	forkd/daemon.c \
	forkd/daemon.h \
	forkd/daemon_main.c \
	forkd/daemon_main.h \
	forkd/domain.h \
	forkd/domain_fork.c \
	forkd/domain_fork.h \
	forkd/domain_jobs.c \
	forkd/domain_jobs.h \
	forkd/domain_launcher.c \
	forkd/domain_launcher.h \
	forkd/domain_main.c \
	forkd/domain_main.h \
	forkd/domain_process.h \
	forkd/file_list.c \
	forkd/file_list.h \
	forkd/fork_options.c \
	forkd/fork_options.h \
	forkd/host.c \
	forkd/host.h \
	forkd/hosted.c \
	forkd/hosted.h \
	forkd/job.c \
	forkd/job.h \
	forkd/launch.c \
	forkd/launch.h \
	forkd/launch_chain.c \
	forkd/launch_chain.h \
	forkd/launch_files.c \
	forkd/launch_files.h \
	forkd/lease.c \
	forkd/lease.h \
	forkd/life.c \
	forkd/life.h \
	forkd/overlay.c \
	forkd/overlay.h \
	forkd/peer.c \
	forkd/peer.h \
	forkd/qcow2.c \
	forkd/qcow2.h \
	forkd/registry.c \
	forkd/registry.h \
	forkd/registry_file.c \
	forkd/registry_file.h \
	forkd/registry_images.c \
	forkd/registry_kept.c \
	forkd/registry_kept.h \
	forkd/retire.c \
	forkd/retire.h \
	forkd/role.c \
	forkd/role.h \
	forkd/rundir.c \
	forkd/rundir.h \
	forkd/sandbox.c \
	forkd/sandbox.h \
	forkd/spawn.c \
	forkd/spawn.h \
	forkd/vcpu_value.c \
	forkd/vcpu_value.h

sbin_PROGRAMS += forkd/forkd
forkd_forkd_CPPFLAGS = $(forkd_cppflags)
forkd_forkd_SOURCES = forkd/main.c
forkd_forkd_LDADD = forkd/libforkd.la libfork/base/libbase.la \
	libfork/libfork.la

# systemd units, for root's forkd.
systemdsystemunit_DATA = forkd/forkd.service forkd/forkd.socket
EXTRA_DIST += forkd/forkd.service.in forkd/forkd.socket
CLEANFILES += forkd/forkd.service
forkd/forkd.service: forkd/forkd.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) forkd && \
	$(SED) 's|@sbindir[@]|$(sbindir)|' $(srcdir)/forkd/forkd.service.in >$@
