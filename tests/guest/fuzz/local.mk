# Programs without operating system that are fuzzed in tests, made in the build
# tree when they are needed (make-programs).

fuzz_program_files = \
	tests/guest/fuzz/bugs.c \
	tests/guest/fuzz/image.c \
	tests/guest/fuzz/image.h \
	tests/guest/fuzz/image_afl.c \
	tests/guest/fuzz/image_guest.c \
	tests/guest/fuzz/start.S \
	tests/guest/fuzz/support.c \
	tests/guest/fuzz/support.h
EXTRA_DIST += $(fuzz_program_files) tests/guest/fuzz/make-programs
tests/guest/fuzz/stamp: $(fuzz_program_files) \
		tests/guest/fuzz/make-programs libfork/fuzz/xlfork-harness.h
	$(AM_V_GEN)$(MKDIR_P) $(@D) && top_srcdir='$(abs_top_srcdir)' \
		bash $(top_srcdir)/tests/guest/fuzz/make-programs $(@D) && \
	touch $@
check_DATA += tests/guest/fuzz/stamp
clean-local: clean-fuzz-programs
clean-fuzz-programs:
	rm -rf tests/guest/fuzz/*.elf tests/guest/fuzz/*.o \
		tests/guest/fuzz/image-* tests/guest/fuzz/stamp
.PHONY: clean-fuzz-programs
