# kvm: micro-guests on /dev/kvm; skipped, and said so, where there is none.

if HAVE_CRITERION
kvm_tests = \
	tests/kvm/test_engine

check_PROGRAMS += $(kvm_tests)
TESTS += $(kvm_tests)

tests_kvm_test_engine_CPPFLAGS = $(test_cppflags)
tests_kvm_test_engine_LDADD = tests/lib/libtest.la $(test_libs)
endif
