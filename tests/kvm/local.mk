# kvm: micro-guests on /dev/kvm; skipped, and said so, without. What needs
# kernel-mode code to run natively is skipped where it does not, and run in the
# lab (test-kvm-lab.sh). A test is a block of three lines.

noinst_LTLIBRARIES += tests/lib/libmicrovm.la
tests_lib_libmicrovm_la_SOURCES = tests/lib/microvm.c tests/lib/microvm.h
tests_lib_libmicrovm_la_CPPFLAGS = $(test_cppflags) \
	-DMICRO_DIR='"$(abs_top_builddir)/tests/guest/micro"'
microvm_libs = tests/lib/libmicrovm.la tests/lib/libtest.la $(test_libs)

kvm_tests =

kvm_tests += tests/kvm/test_access
tests_kvm_test_access_CPPFLAGS = $(test_cppflags)
tests_kvm_test_access_LDADD = $(microvm_libs)

kvm_tests += tests/kvm/test_chips
tests_kvm_test_chips_CPPFLAGS = $(test_cppflags)
tests_kvm_test_chips_LDADD = $(microvm_libs)

kvm_tests += tests/kvm/test_clocks
tests_kvm_test_clocks_CPPFLAGS = $(test_cppflags)
tests_kvm_test_clocks_LDADD = $(engine_libs)

kvm_tests += tests/kvm/test_cover
tests_kvm_test_cover_CPPFLAGS = $(test_cppflags)
tests_kvm_test_cover_LDADD = tests/lib/libtest.la $(test_libs)

kvm_tests += tests/kvm/test_crashes
tests_kvm_test_crashes_CPPFLAGS = $(test_cppflags)
tests_kvm_test_crashes_LDADD = tests/lib/libtest.la $(test_libs)

noinst_LTLIBRARIES += tests/kvm/libengine.la
tests_kvm_libengine_la_SOURCES = tests/kvm/engine.c tests/kvm/engine.h
tests_kvm_libengine_la_CPPFLAGS = $(test_cppflags)
engine_libs = tests/kvm/libengine.la tests/lib/libtest.la $(test_libs)

kvm_tests += tests/kvm/test_engine
tests_kvm_test_engine_CPPFLAGS = $(test_cppflags)
tests_kvm_test_engine_LDADD = $(engine_libs)

kvm_tests += tests/kvm/test_engine_forks
tests_kvm_test_engine_forks_CPPFLAGS = $(test_cppflags)
tests_kvm_test_engine_forks_LDADD = $(engine_libs)

kvm_tests += tests/kvm/test_engine_exits
tests_kvm_test_engine_exits_CPPFLAGS = $(test_cppflags)
tests_kvm_test_engine_exits_LDADD = tests/kvm/libengine.la $(microvm_libs)

kvm_tests += tests/kvm/test_engine_groups
tests_kvm_test_engine_groups_CPPFLAGS = $(test_cppflags)
tests_kvm_test_engine_groups_LDADD = tests/kvm/libengine.la $(microvm_libs)

kvm_tests += tests/kvm/test_engine_parts
tests_kvm_test_engine_parts_CPPFLAGS = $(test_cppflags)
tests_kvm_test_engine_parts_LDADD = $(engine_libs)

kvm_tests += tests/kvm/test_engine_threads
tests_kvm_test_engine_threads_CPPFLAGS = $(test_cppflags)
tests_kvm_test_engine_threads_LDADD = $(engine_libs)

kvm_tests += tests/kvm/test_engine_faults
tests_kvm_test_engine_faults_CPPFLAGS = $(test_cppflags)
tests_kvm_test_engine_faults_LDADD = tests/lib/libtest.la $(test_libs)
kvm_tests += tests/kvm/test_fuzz
tests_kvm_test_fuzz_CPPFLAGS = $(test_cppflags) -I$(top_srcdir)/libfork
tests_kvm_test_fuzz_LDADD = tests/lib/libtest.la $(test_libs)

kvm_tests += tests/kvm/test_fuzz_session
tests_kvm_test_fuzz_session_CPPFLAGS = $(test_cppflags)
tests_kvm_test_fuzz_session_LDADD = tests/lib/libtest.la $(test_libs)
kvm_tests += tests/kvm/test_fuzz_input
tests_kvm_test_fuzz_input_CPPFLAGS = $(test_cppflags)
tests_kvm_test_fuzz_input_LDADD = tests/lib/libtest.la $(test_libs)

kvm_tests += tests/kvm/test_halted
tests_kvm_test_halted_CPPFLAGS = $(test_cppflags)
tests_kvm_test_halted_LDADD = $(microvm_libs)

kvm_tests += tests/kvm/test_interrupts
tests_kvm_test_interrupts_CPPFLAGS = $(test_cppflags)
tests_kvm_test_interrupts_LDADD = $(microvm_libs)

kvm_tests += tests/kvm/test_probes
tests_kvm_test_probes_CPPFLAGS = $(test_cppflags)
tests_kvm_test_probes_LDADD = tests/lib/libtest.la $(test_libs)

kvm_tests += tests/kvm/test_moments
tests_kvm_test_moments_CPPFLAGS = $(test_cppflags)
tests_kvm_test_moments_LDADD = $(microvm_libs)

kvm_tests += tests/kvm/test_state
tests_kvm_test_state_CPPFLAGS = $(test_cppflags)
tests_kvm_test_state_LDADD = $(microvm_libs)

kvm_tests += tests/kvm/test_vm
tests_kvm_test_vm_CPPFLAGS = $(test_cppflags)
tests_kvm_test_vm_LDADD = $(microvm_libs)

if HAVE_CRITERION
check_PROGRAMS += $(kvm_tests)
TESTS += $(kvm_tests) tests/kvm/test-kvm-lab.sh
endif
EXTRA_DIST += tests/kvm/test-kvm-lab.sh

# Races: a plain main, built once more with ThreadSanitizer by its script.
dist_check_SCRIPTS += tests/kvm/test-race.sh
TESTS += tests/kvm/test-race.sh
EXTRA_DIST += tests/kvm/race.c

dist_check_SCRIPTS += tests/kvm/test-examples.sh
TESTS += tests/kvm/test-examples.sh
# The same race test plainly and with ThreadSanitizer, which wants the code it
# looks at built for it: these rooms once more.
race_sources = tests/kvm/race_vcpus.c tests/lib/microvm.c
check_PROGRAMS += tests/kvm/race_vcpus tests/kvm/race_vcpus_tsan
TESTS += tests/kvm/race_vcpus tests/kvm/race_vcpus_tsan
tests_kvm_race_vcpus_SOURCES = tests/kvm/race_vcpus.c
tests_kvm_race_vcpus_CPPFLAGS = $(test_cppflags)
tests_kvm_race_vcpus_LDADD = tests/lib/libmicrovm.la libfork/libcore.la
tests_kvm_race_vcpus_tsan_SOURCES = $(race_sources) $(kvm_sources) \
	$(cpu_sources) $(insn_sources) $(race_base_sources)
race_base_sources = libfork/base/error.c libfork/base/log.c libfork/base/sys.c
tests_kvm_race_vcpus_tsan_CPPFLAGS = $(tests_lib_libmicrovm_la_CPPFLAGS) \
	$(CAPSTONE_CFLAGS)
tests_kvm_race_vcpus_tsan_CFLAGS = $(AM_CFLAGS) -O1 -g $(TSAN_CFLAGS)
tests_kvm_race_vcpus_tsan_LDADD = $(CAPSTONE_LIBS)
TSAN_CFLAGS = -fno-sanitize=address,undefined -fsanitize=thread
