# lab: what needs a KVM like hardware's, see README.md.

dist_noinst_SCRIPTS += tests/lab/run tests/lab/bench-lab
EXTRA_DIST += tests/lab/README.md tests/lab/frame.h tests/lab/init.c \
	tests/lab/machine.c tests/lab/test-lab.sh
TESTS += tests/lab/test-lab.sh

# A guest under KVM stopped at an address; the program is that of tests/tcg.
EXTRA_DIST += tests/lab/test-run-until.sh
if HAVE_CRITERION
TESTS += tests/lab/test-run-until.sh
endif

# Programs that run in the lab, each through a script of its own.
lab_programs = tests/lab/test_two_phase tests/lab/test_two_phase_kinds
two_phase_sources = tests/lab/both_ways.c tests/lab/both_ways.h \
	tests/lab/frozen.c tests/lab/frozen.h \
	tests/lab/two_phase.c tests/lab/two_phase.h
two_phase_libs = tests/lib/libtest.la $(test_libs) $(JANSSON_LIBS)
tests_lab_test_two_phase_SOURCES = tests/lab/test_two_phase.c \
	$(two_phase_sources)
tests_lab_test_two_phase_CPPFLAGS = $(test_cppflags)
tests_lab_test_two_phase_LDADD = $(two_phase_libs)
tests_lab_test_two_phase_kinds_SOURCES = tests/lab/test_two_phase_kinds.c \
	$(two_phase_sources)
tests_lab_test_two_phase_kinds_CPPFLAGS = $(test_cppflags)
tests_lab_test_two_phase_kinds_LDADD = $(two_phase_libs)
EXTRA_DIST += tests/lab/in-lab tests/lab/test-two-phase.sh \
	tests/lab/test-two-phase-kinds.sh
if HAVE_CRITERION
check_PROGRAMS += $(lab_programs)
TESTS += tests/lab/test-two-phase.sh
long_tests += tests/lab/test-two-phase-kinds.sh
endif

# The same through xlfork and forkd, where each command takes seconds.
EXTRA_DIST += tests/lab/test-two-phase-cli.sh tests/lab/two-phase-cli
long_tests += tests/lab/test-two-phase-cli.sh

# Forks that KVM cannot go on with, likewise.
EXTRA_DIST += tests/lab/test-crash.sh
long_tests += tests/lab/test-crash.sh

# A Linux guest fuzzed by afl-fuzz through xlfork and forkd: its kernel; with
# LF_MATRIX or LF_SOAK also a program in it.
EXTRA_DIST += tests/lab/fuzz_target.c tests/lab/fuzz-linux \
	tests/lab/test-fuzz-linux.sh \
	tests/lab/module/Kbuild tests/lab/module/fuzz_oops.c
CLEANFILES += tests/lab/fuzz-target
check_PROGRAMS += tests/lab/steps
tests_lab_steps_CPPFLAGS = $(AM_CPPFLAGS)
tests_lab_steps_LDADD = xlfork/libxlfork.la libfork/libcore.la
TESTS += tests/lab/test-fuzz-linux.sh
