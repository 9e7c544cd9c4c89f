# tcg: with the real QEMU, under TCG; anywhere QEMU is.

if HAVE_CRITERION
tcg_tests = \
	tests/tcg/test_argv_qemu

check_PROGRAMS += $(tcg_tests)
TESTS += $(tcg_tests)

tests_tcg_test_argv_qemu_CPPFLAGS = $(test_cppflags)
tests_tcg_test_argv_qemu_LDADD = $(test_libs) $(JANSSON_LIBS)
endif
