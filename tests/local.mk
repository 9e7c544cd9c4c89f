# Tests, one folder per layer. Programs with Criterion run through automake's
# TAP driver; the last line of `make check` is "N passed, N failed, N skipped".

LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) \
	$(top_srcdir)/build-aux/tap-driver.sh
LOG_COMPILER = $(test_limit) $(SHELL) $(top_srcdir)/tests/lib/run-criterion
TEST_EXTENSIONS = .sh
SH_LOG_DRIVER = $(LOG_DRIVER)
SH_LOG_COMPILER = $(test_limit) bash
AM_TESTS_ENVIRONMENT = \
	top_srcdir='$(abs_top_srcdir)' top_builddir='$(abs_top_builddir)'; \
	export top_srcdir top_builddir;

# No test program lasts longer: far more than any needs on a slow machine.
test_limit = tests/lib/limit \
	$${LF_TEST_SECONDS-$$([ -z "$$LF_SOAK$$LF_MATRIX" ] && echo 1800 || echo 36000)}
check_PROGRAMS += tests/lib/limit
TESTS += tests/lib/test-limit.sh
EXTRA_DIST += tests/lib/run-criterion tests/lib/summary tests/lib/tap.sh \
	tests/lib/afl-inside.sh tests/lib/test-limit.sh

test_cppflags = $(AM_CPPFLAGS) -I$(top_srcdir)/tests $(CRITERION_CFLAGS) \
	$(JANSSON_CFLAGS) $(XML_CFLAGS)
test_libs = libfork/libcore.la $(CRITERION_LIBS)

# What takes more than a minute each is for soak and check-long.
long_tests =

# Helpers that all test programs link.
noinst_LTLIBRARIES += tests/lib/libtest.la
tests_lib_libtest_la_SOURCES = \
	tests/lib/count.c \
	tests/lib/count.h \
	tests/lib/fault.c \
	tests/lib/fault.h \
	tests/lib/guest_vm.c \
	tests/lib/guest_vm.h \
	tests/lib/micro.c \
	tests/lib/micro.h \
	tests/lib/micro_code.S \
	tests/lib/micro_image.c \
	tests/lib/micro_image.h \
	tests/lib/sample.c \
	tests/lib/sample.h \
	tests/lib/parser_image.h \
	tests/lib/parser_session.h \
	tests/lib/scratch.c \
	tests/lib/scratch.h
tests_lib_libtest_la_CPPFLAGS = $(test_cppflags)

include tests/cli/local.mk
EXTRA_DIST += tests/data/memory-maps
EXTRA_DIST += tests/data/streams

include tests/demo/local.mk
include tests/guest/local.mk
include tests/guest/micro/local.mk
include tests/guest/fuzz/local.mk
include tests/lab/local.mk
include tests/tree/local.mk
include tests/unit/local.mk
include tests/tcg/local.mk
include tests/kvm/local.mk
include tests/bench/local.mk
include tests/fuzz/local.mk

# Builds and runs all tests, then prints the closing line. One test at a time:
# many of them start virtual machines, and the machine is small.
check-all:
	@rm -f tests/*/*.trs tests/*.trs
	@status=0; $(MAKE) --no-print-directory check AM_COLOR_TESTS=no \
		>tests/check.log 2>&1 || status=$$?; \
	grep -aE '^(FAIL|SKIP|ERROR|XPASS): ' tests/check.log || true; \
	$(SHELL) $(top_srcdir)/tests/lib/summary '$(abs_top_builddir)' $$status

# All tests with the long counts.
soak:
	@LF_SOAK=1 $(MAKE) --no-print-directory check-all \
		TESTS='$(TESTS) $(long_tests)'

# What check leaves out, with its counts.
check-long:
	@LF_MATRIX=1 $(MAKE) --no-print-directory check-all \
		TESTS='$(long_tests) tests/lab/test-fuzz-linux.sh'

lint:
	@$(SHELL) $(top_srcdir)/tests/lib/lint '$(abs_top_srcdir)'
.PHONY: check-all check-long soak lint
EXTRA_DIST += tests/lib/lint
