# What the tests boot, made in tests/guest of the build tree. Tests that need
# a guest call make-guest themselves, which takes 20 ms when it is there.

dist_noinst_SCRIPTS += tests/guest/make-guest
guest_files = \
	tests/guest/README.md \
	tests/guest/agent.c \
	tests/guest/bootless.S \
	tests/guest/busy.S \
	tests/guest/counters.c \
	tests/guest/daemons.c \
	tests/guest/disk.c \
	tests/guest/guest.h \
	tests/guest/init \
	tests/guest/main.c \
	tests/guest/mem.c \
	tests/guest/net \
	tests/guest/pattern.h \
	tests/guest/serial.S \
	tests/guest/writers.c
EXTRA_DIST += $(guest_files) tests/guest/test-guest.sh
TESTS += tests/guest/test-guest.sh

guest:
	@$(SHELL) $(top_srcdir)/tests/guest/make-guest tests/guest
clean-local: clean-guest
distclean-local: distclean-guest
clean-guest:
	rm -rf tests/guest/*.bin tests/guest/*.img tests/guest/vmlinu[xz] \
		tests/guest/lab-machine tests/guest/fuzz_oops.ko
distclean-guest: clean-guest
	rm -rf tests/guest/cache tests/guest/.lock
.PHONY: guest clean-guest distclean-guest
