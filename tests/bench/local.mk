# bench: `make bench` runs every program in bench_programs and every script in
# bench_scripts; each prints one JSON object per case. All lines end up in
# tests/bench/results.jsonl, and as drawings beside it. Benchmarks need a quiet
# machine and are no tests: nothing fails because something was slow.

bench_programs = \
	tests/bench/bench_dm \
	tests/bench/bench_fork \
	tests/bench/bench_late \
	tests/bench/bench_nodm \
	tests/bench/bench_reset
bench_scripts = tests/lab/bench-lab
bench_scripts += tests/bench/bench-afl

EXTRA_PROGRAMS = $(bench_programs)
CLEANFILES += $(bench_programs) tests/bench/results.jsonl tests/bench/*.svg
EXTRA_DIST += tests/bench/bench-afl tests/bench/run tests/bench/plot

bench_cppflags = $(AM_CPPFLAGS) -I$(top_srcdir)/tests
bench_libs = tests/lib/libtest.la libfork/libcore.la
bench_common = tests/bench/bench.c tests/bench/bench.h \
	tests/bench/floor.c tests/bench/floor.h

tests_bench_bench_dm_SOURCES = tests/bench/bench_dm.c tests/bench/bench.c \
	tests/bench/bench.h
tests_bench_bench_dm_CPPFLAGS = $(bench_cppflags) $(JANSSON_CFLAGS)
tests_bench_bench_dm_LDADD = libfork/libcore.la $(JANSSON_LIBS)

tests_bench_bench_fork_SOURCES = tests/bench/bench_fork.c $(bench_common)
tests_bench_bench_fork_CPPFLAGS = $(bench_cppflags)
tests_bench_bench_fork_LDADD = $(bench_libs)

tests_bench_bench_late_SOURCES = tests/bench/bench_late.c tests/bench/bench.c \
	tests/bench/bench.h
tests_bench_bench_late_CPPFLAGS = $(bench_cppflags) $(JANSSON_CFLAGS)
tests_bench_bench_late_LDADD = libfork/libcore.la $(JANSSON_LIBS)

tests_bench_bench_nodm_SOURCES = tests/bench/bench_nodm.c tests/bench/bench.c \
	tests/bench/bench.h
tests_bench_bench_nodm_CPPFLAGS = $(bench_cppflags) $(JANSSON_CFLAGS)
tests_bench_bench_nodm_LDADD = libfork/control/libcontrol.la \
	libfork/libcore.la $(JANSSON_LIBS)

tests_bench_bench_reset_SOURCES = tests/bench/bench_reset.c $(bench_common)
tests_bench_bench_reset_CPPFLAGS = $(bench_cppflags)
tests_bench_bench_reset_LDADD = $(bench_libs)

bench: $(bench_programs) tests/guest/fuzz/stamp
	@top_srcdir='$(abs_top_srcdir)' top_builddir='$(abs_top_builddir)' \
		$(SHELL) $(top_srcdir)/tests/bench/run \
		'$(abs_top_builddir)/tests/bench' $(bench_programs) \
		$(addprefix $(top_srcdir)/,$(bench_scripts))
.PHONY: bench
