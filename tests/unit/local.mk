# unit: one test_<module>.c per module; anywhere, in milliseconds.

if HAVE_CRITERION
unit_tests = \
	tests/unit/test_argv \
	tests/unit/test_base \
	tests/unit/test_control \
	tests/unit/test_domain_config \
	tests/unit/test_memory \
	tests/unit/test_symbols

check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)

tests_unit_test_base_CPPFLAGS = $(test_cppflags)
tests_unit_test_base_LDADD = tests/lib/libtest.la $(test_libs)

tests_unit_test_control_CPPFLAGS = $(test_cppflags)
tests_unit_test_control_LDADD = tests/lib/libtest.la \
	libfork/control/libcontrol.la $(test_libs)

tests_unit_test_domain_config_CPPFLAGS = $(test_cppflags)
tests_unit_test_domain_config_LDADD = tests/lib/libtest.la $(test_libs)

tests_unit_test_memory_CPPFLAGS = $(test_cppflags)
tests_unit_test_memory_LDADD = tests/lib/libtest.la $(test_libs)
tests_unit_test_symbols_CPPFLAGS = $(test_cppflags)
tests_unit_test_symbols_LDADD = tests/lib/libtest.la $(test_libs)

tests_unit_test_argv_CPPFLAGS = $(test_cppflags)
tests_unit_test_argv_LDADD = tests/lib/libtest.la $(test_libs)
endif
