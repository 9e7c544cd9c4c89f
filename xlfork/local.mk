# xlfork: the command line. Everything but main() is a library, so that tests
# can reach the table of commands and the printing.

noinst_LTLIBRARIES += xlfork/libxlfork.la
xlfork_libxlfork_la_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) \
	$(SMARTCOLS_CFLAGS)
xlfork_libxlfork_la_LIBADD = libfork/control/libcontrol.la \
	libfork/config/libconfig.la libfork/base/libbase.la \
	$(JANSSON_LIBS) $(SMARTCOLS_LIBS)
xlfork_libxlfork_la_SOURCES = \
	xlfork/command.c \
	xlfork/command.h \
	xlfork/commands.c \
	xlfork/commands.h \
	xlfork/commands_devstate.c \
	xlfork/commands_domain.c \
	xlfork/commands_fork.c \
	xlfork/commands_freeze.c \
	xlfork/commands_freeze.h \
	xlfork/commands_fuzz.c \
	xlfork/commands_host.c \
	xlfork/commands_look.c \
	xlfork/config_file.c \
	xlfork/config_file.h \
	xlfork/console.c \
	xlfork/console.h \
	xlfork/devstate_print.c \
	xlfork/devstate_print.h \
	xlfork/doctor.c \
	xlfork/doctor.h \
	xlfork/doctor_kernel.c \
	xlfork/doctor_kvm.c \
	xlfork/doctor_limits.c \
	xlfork/doctor_programs.c \
	xlfork/domain_table.c \
	xlfork/domain_table.h \
	xlfork/findings.c \
	xlfork/findings.h \
	xlfork/fuzz_bench.c \
	xlfork/fuzz_covered.c \
	xlfork/fuzz_modes.c \
	xlfork/fuzz_modes.h \
	xlfork/fuzz_options.c \
	xlfork/fuzz_options.h \
	xlfork/fuzz_probes.c \
	xlfork/fuzz_probes.h \
	xlfork/fuzz_reports.c \
	xlfork/fuzz_reports.h \
	xlfork/fuzz_target.c \
	xlfork/fuzz_target.h \
	xlfork/help.c \
	xlfork/help.h \
	xlfork/output.c \
	xlfork/output.h \
	xlfork/output_file.c \
	xlfork/output_file.h \
	xlfork/proc_file.c \
	xlfork/proc_file.h \
	xlfork/progress.c \
	xlfork/progress.h \
	xlfork/report.c \
	xlfork/report.h \
	xlfork/run.c \
	xlfork/session.c \
	xlfork/session.h \
	xlfork/suggest.c \
	xlfork/suggest.h

bin_PROGRAMS += xlfork/xlfork
xlfork_xlfork_SOURCES = xlfork/main.c
xlfork_xlfork_LDADD = xlfork/libxlfork.la libfork/libfork.la

# What afl-fuzz -X loads; a module, so there is none in a static build.
if SHARED
pkglib_LTLIBRARIES += xlfork/libnyx.la
endif
xlfork_libnyx_la_SOURCES = xlfork/nyx.c xlfork/nyx_options.c \
	xlfork/nyx_options.h
xlfork_libnyx_la_LIBADD = xlfork/libxlfork.la libfork/libfork.la
xlfork_libnyx_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared \
	-export-symbols-regex '^nyx_'

bashcompletiondir = @bashcompletiondir@
dist_bashcompletion_DATA = xlfork/completion/xlfork
