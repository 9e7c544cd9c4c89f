# tcg: with the real QEMU, under TCG; anywhere QEMU is. A test is a block.

tcg_tests =

# A Linux guest to look into.
tcg_linux_guest = tests/tcg/linux_guest.c tests/tcg/linux_guest.h

# A forkd of the test's own.
tcg_forkd = tests/lib/forkd_test.c tests/lib/forkd_test.h
tcg_forkd_libs = tests/lib/libtest.la libfork/control/libcontrol.la $(test_libs)

tcg_tests += tests/tcg/test_argv_qemu
tests_tcg_test_argv_qemu_CPPFLAGS = $(test_cppflags)
tests_tcg_test_argv_qemu_LDADD = $(test_libs) $(JANSSON_LIBS)

tcg_tests += tests/tcg/test_bad_devstate
tests_tcg_test_bad_devstate_CPPFLAGS = $(test_cppflags) $(JANSSON_CFLAGS)
tests_tcg_test_bad_devstate_LDADD = tests/lib/libtest.la $(test_libs)

tcg_tests += tests/tcg/test_cpuid_probe
tests_tcg_test_cpuid_probe_CPPFLAGS = $(test_cppflags)
tests_tcg_test_cpuid_probe_LDADD = tests/lib/libtest.la $(test_libs)

tcg_tests += tests/tcg/test_dm_pool
tests_tcg_test_dm_pool_CPPFLAGS = $(test_cppflags) $(JANSSON_CFLAGS)
tests_tcg_test_dm_pool_LDADD = tests/lib/libtest.la $(test_libs)

tcg_tests += tests/tcg/test_forkd_bad
tests_tcg_test_forkd_bad_SOURCES = tests/tcg/test_forkd_bad.c $(tcg_forkd)
tests_tcg_test_forkd_bad_CPPFLAGS = $(test_cppflags)
tests_tcg_test_forkd_bad_LDADD = $(tcg_forkd_libs)

tcg_tests += tests/tcg/test_forkd_kill
tests_tcg_test_forkd_kill_SOURCES = tests/tcg/test_forkd_kill.c $(tcg_forkd) \
	tests/lib/forkd_account.c tests/lib/forkd_account.h
tests_tcg_test_forkd_kill_CPPFLAGS = $(test_cppflags)
tests_tcg_test_forkd_kill_LDADD = $(tcg_forkd_libs)

tcg_tests += tests/tcg/test_forkd_launch
tests_tcg_test_forkd_launch_SOURCES = tests/tcg/test_forkd_launch.c $(tcg_forkd) \
	tests/lib/forkd_account.c tests/lib/forkd_account.h
tests_tcg_test_forkd_launch_CPPFLAGS = $(test_cppflags)
tests_tcg_test_forkd_launch_LDADD = $(tcg_forkd_libs)

tcg_tests += tests/tcg/test_forkd_handed
tests_tcg_test_forkd_handed_SOURCES = tests/tcg/test_forkd_handed.c $(tcg_forkd)
tests_tcg_test_forkd_handed_CPPFLAGS = $(test_cppflags)
tests_tcg_test_forkd_handed_LDADD = $(tcg_forkd_libs)

tcg_tests += tests/tcg/test_forkd_life
tests_tcg_test_forkd_life_SOURCES = tests/tcg/test_forkd_life.c $(tcg_forkd)
tests_tcg_test_forkd_life_CPPFLAGS = $(test_cppflags)
tests_tcg_test_forkd_life_LDADD = $(tcg_forkd_libs)

tcg_tests += tests/tcg/test_full_fork
tests_tcg_test_full_fork_CPPFLAGS = $(test_cppflags)
tests_tcg_test_full_fork_LDADD = tests/lib/libtest.la $(test_libs)

tcg_tests += tests/tcg/test_import_export
tests_tcg_test_import_export_CPPFLAGS = $(test_cppflags)
tests_tcg_test_import_export_LDADD = tests/lib/libtest.la $(test_libs)

tcg_tests += tests/tcg/test_kernel
tests_tcg_test_kernel_SOURCES = tests/tcg/test_kernel.c $(tcg_linux_guest)
tests_tcg_test_kernel_CPPFLAGS = $(test_cppflags)
tests_tcg_test_kernel_LDADD = $(test_libs) $(JANSSON_LIBS)

tcg_tests += tests/tcg/test_qemu_domain
tests_tcg_test_qemu_domain_CPPFLAGS = $(test_cppflags)
tests_tcg_test_qemu_domain_LDADD = tests/lib/libtest.la $(test_libs)

tcg_tests += tests/tcg/test_run_until
tests_tcg_test_run_until_SOURCES = tests/tcg/test_run_until.c $(tcg_linux_guest)
tests_tcg_test_run_until_CPPFLAGS = $(test_cppflags)
tests_tcg_test_run_until_LDADD = $(test_libs) $(JANSSON_LIBS)

if HAVE_CRITERION
check_PROGRAMS += $(tcg_tests)
TESTS += $(tcg_tests)
endif
