# fuzz: one libFuzzer entry per parser, tests/fuzz/fuzz_NAME.c, with a corpus in
# tests/fuzz/corpus/NAME. With --enable-fuzzers (and CC=clang) each is a
# fuzzer: tests/fuzz/fuzz_NAME CORPUS-DIR. Otherwise each is a test that
# replays its corpus. A new entry: its name in fuzz_entries, its corpus, and the
# four lines of its own.

fuzz_entries = \
	tests/fuzz/fuzz_config_json

fuzz_cppflags = $(AM_CPPFLAGS) -I$(top_srcdir)/tests $(JANSSON_CFLAGS) \
	$(XML_CFLAGS)
if FUZZERS
fuzz_main = tests/fuzz/fuzz.h
fuzz_ldflags = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += $(fuzz_entries)
else
fuzz_main = tests/fuzz/fuzz.h tests/fuzz/replay.c
fuzz_ldflags = $(AM_LDFLAGS)
check_PROGRAMS += $(fuzz_entries)
TESTS += $(fuzz_entries)
endif
EXTRA_DIST += tests/fuzz/replay.c tests/fuzz/corpus

tests_fuzz_fuzz_config_json_SOURCES = tests/fuzz/fuzz_config_json.c $(fuzz_main)
tests_fuzz_fuzz_config_json_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_config_json_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_config_json_LDADD = libfork/libcore.la
