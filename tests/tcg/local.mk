# tcg: with the real QEMU, under TCG; anywhere QEMU is.

if HAVE_CRITERION
tcg_tests = \
	tests/tcg/test_argv_qemu \
	tests/tcg/test_run_until
	tests/tcg/test_full_fork

check_PROGRAMS += $(tcg_tests)
TESTS += $(tcg_tests)

tests_tcg_test_argv_qemu_CPPFLAGS = $(test_cppflags)
tests_tcg_test_argv_qemu_LDADD = $(test_libs) $(JANSSON_LIBS)

# A Linux guest to look into.
tcg_linux_guest = tests/tcg/linux_guest.c tests/tcg/linux_guest.h

tests_tcg_test_run_until_SOURCES = tests/tcg/test_run_until.c $(tcg_linux_guest)
tests_tcg_test_run_until_CPPFLAGS = $(test_cppflags)
tests_tcg_test_run_until_LDADD = $(test_libs) $(JANSSON_LIBS)
tests_tcg_test_full_fork_CPPFLAGS = $(test_cppflags)
tests_tcg_test_full_fork_LDADD = tests/lib/libtest.la $(test_libs)
endif
