# fuzz: one libFuzzer entry per parser, tests/fuzz/fuzz_NAME.c, with a corpus in
# tests/fuzz/corpus/NAME. With --enable-fuzzers (and CC=clang) each is a
# fuzzer: tests/fuzz/fuzz_NAME CORPUS-DIR. Otherwise each is a test that
# replays its corpus. A new entry is a block of five lines, and its corpus.

fuzz_entries =
fuzz_cppflags = $(AM_CPPFLAGS) -I$(top_srcdir)/tests $(JANSSON_CFLAGS) \
	$(XML_CFLAGS)
if FUZZERS
fuzz_main = tests/fuzz/fuzz.h
fuzz_ldflags = $(AM_LDFLAGS) -fsanitize=fuzzer
else
fuzz_main = tests/fuzz/fuzz.h tests/fuzz/replay.c
fuzz_ldflags = $(AM_LDFLAGS)
endif

fuzz_entries += tests/fuzz/fuzz_config_json
tests_fuzz_fuzz_config_json_SOURCES = tests/fuzz/fuzz_config_json.c $(fuzz_main)
tests_fuzz_fuzz_config_json_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_config_json_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_config_json_LDADD = libfork/libcore.la

fuzz_entries += tests/fuzz/fuzz_config_xl
tests_fuzz_fuzz_config_xl_SOURCES = tests/fuzz/fuzz_config_xl.c tests/fuzz/config_entry.h $(fuzz_main)
tests_fuzz_fuzz_config_xl_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_config_xl_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_config_xl_LDADD = libfork/config/libconfig.la libfork/libcore.la

fuzz_entries += tests/fuzz/fuzz_config_xml
tests_fuzz_fuzz_config_xml_SOURCES = tests/fuzz/fuzz_config_xml.c tests/fuzz/config_entry.h $(fuzz_main)
tests_fuzz_fuzz_config_xml_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_config_xml_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_config_xml_LDADD = libfork/config/libconfig.la libfork/libcore.la

fuzz_entries += tests/fuzz/fuzz_mtree
tests_fuzz_fuzz_mtree_SOURCES = tests/fuzz/fuzz_mtree.c $(fuzz_main)
tests_fuzz_fuzz_mtree_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_mtree_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_mtree_LDADD = libfork/libcore.la $(JANSSON_LIBS)

fuzz_entries += tests/fuzz/fuzz_qmp
tests_fuzz_fuzz_qmp_SOURCES = tests/fuzz/fuzz_qmp.c $(fuzz_main)
tests_fuzz_fuzz_qmp_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_qmp_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_qmp_LDADD = libfork/libcore.la $(JANSSON_LIBS)

fuzz_entries += tests/fuzz/fuzz_stream
tests_fuzz_fuzz_stream_SOURCES = tests/fuzz/fuzz_stream.c $(fuzz_main)
tests_fuzz_fuzz_stream_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_stream_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_stream_LDADD = libfork/libcore.la $(JANSSON_LIBS)
fuzz_entries += tests/fuzz/fuzz_btf
tests_fuzz_fuzz_btf_SOURCES = tests/fuzz/fuzz_btf.c $(fuzz_main)
tests_fuzz_fuzz_btf_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_btf_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_btf_LDADD = libfork/libcore.la

fuzz_entries += tests/fuzz/fuzz_gdb_packet
tests_fuzz_fuzz_gdb_packet_SOURCES = tests/fuzz/fuzz_gdb_packet.c $(fuzz_main)
tests_fuzz_fuzz_gdb_packet_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_gdb_packet_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_gdb_packet_LDADD = libfork/libcore.la

fuzz_entries += tests/fuzz/fuzz_kallsyms
tests_fuzz_fuzz_kallsyms_SOURCES = tests/fuzz/fuzz_kallsyms.c $(fuzz_main)
tests_fuzz_fuzz_kallsyms_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_kallsyms_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_kallsyms_LDADD = libfork/libcore.la

fuzz_entries += tests/fuzz/fuzz_symbols
tests_fuzz_fuzz_symbols_SOURCES = tests/fuzz/fuzz_symbols.c $(fuzz_main)
tests_fuzz_fuzz_symbols_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_symbols_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_symbols_LDADD = libfork/libcore.la

fuzz_entries += tests/fuzz/fuzz_manifest
tests_fuzz_fuzz_manifest_SOURCES = tests/fuzz/fuzz_manifest.c $(fuzz_main)
tests_fuzz_fuzz_manifest_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_manifest_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_manifest_LDADD = libfork/libcore.la $(JANSSON_LIBS)

fuzz_entries += tests/fuzz/fuzz_control
tests_fuzz_fuzz_control_SOURCES = tests/fuzz/fuzz_control.c $(fuzz_main)
tests_fuzz_fuzz_control_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_control_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_control_LDADD = libfork/control/libcontrol.la libfork/libcore.la $(JANSSON_LIBS)

fuzz_entries += tests/fuzz/fuzz_cpuid
tests_fuzz_fuzz_cpuid_SOURCES = tests/fuzz/fuzz_cpuid.c $(fuzz_main)
tests_fuzz_fuzz_cpuid_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_cpuid_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_cpuid_LDADD = libfork/libcore.la

fuzz_entries += tests/fuzz/fuzz_devfile
tests_fuzz_fuzz_devfile_SOURCES = tests/fuzz/fuzz_devfile.c $(fuzz_main)
tests_fuzz_fuzz_devfile_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_devfile_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_devfile_LDADD = libfork/libcore.la $(JANSSON_LIBS)

fuzz_entries += tests/fuzz/fuzz_program
tests_fuzz_fuzz_program_SOURCES = tests/fuzz/fuzz_program.c $(fuzz_main)
tests_fuzz_fuzz_program_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_program_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_program_LDADD = libfork/libcore.la

fuzz_entries += tests/fuzz/fuzz_qcow2
tests_fuzz_fuzz_qcow2_SOURCES = tests/fuzz/fuzz_qcow2.c $(fuzz_main)
tests_fuzz_fuzz_qcow2_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_qcow2_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_qcow2_LDADD = forkd/libforkd.la libfork/libcore.la

fuzz_entries += tests/fuzz/fuzz_registers
tests_fuzz_fuzz_registers_SOURCES = tests/fuzz/fuzz_registers.c $(fuzz_main)
tests_fuzz_fuzz_registers_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_registers_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_registers_LDADD = libfork/libcore.la

if FUZZERS
noinst_PROGRAMS += $(fuzz_entries)
else
check_PROGRAMS += $(fuzz_entries)
TESTS += $(fuzz_entries)
endif
EXTRA_DIST += tests/fuzz/replay.c tests/fuzz/corpus

# The header for targets.
dist_check_SCRIPTS += tests/fuzz/test-harness.sh
TESTS += tests/fuzz/test-harness.sh

# AFL++'s programs with xlfork as their target.
dist_check_SCRIPTS += tests/fuzz/test-afl.sh
TESTS += tests/fuzz/test-afl.sh

# The same in afl-fuzz's own process.
dist_check_SCRIPTS += tests/fuzz/test-afl-inside.sh
TESTS += tests/fuzz/test-afl-inside.sh

# Probes: coverage, sinks, reports.
dist_check_SCRIPTS += tests/fuzz/test-probes.sh
TESTS += tests/fuzz/test-probes.sh
