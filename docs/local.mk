# Manual pages and guides.

dist_man_MANS += docs/xlfork.1 docs/xlfork.cfg.5 docs/forkd.8
dist_man_MANS += docs/xlfork-forking.7
EXTRA_DIST += docs/architecture.md docs/fuzzing.md docs/performance.md docs/testing.md

# The library, one page per family of functions.
dist_man_MANS += \
	docs/man/libfork.3 \
	docs/man/lf_crash.3 \
	docs/man/lf_devstate.3 \
	docs/man/lf_dm_pool_new.3 \
	docs/man/lf_domain_config.3 \
	docs/man/lf_domain_fork.3 \
	docs/man/lf_domain_reset.3 \
	docs/man/lf_domain_run.3 \
	docs/man/lf_fuzz_open.3 \
	docs/man/lf_host_probe.3 \
	docs/man/lf_kernel_find.3 \
	docs/man/lf_launcher_spawn_new.3 \
	docs/man/lf_memory_read.3 \
	docs/man/lf_pool_new.3 \
	docs/man/lf_probes.3 \
	docs/man/lf_qemu_argv_build.3 \
	docs/man/lf_snapshot.3 \
	docs/man/lf_symbols.3

# Examples are built like a user's programs: public headers, libfork.so.
check_PROGRAMS += docs/examples/reset docs/examples/generations
docs_examples_reset_SOURCES = docs/examples/reset.c
docs_examples_reset_LDADD = libfork/libfork.la
docs_examples_generations_SOURCES = docs/examples/generations.c
docs_examples_generations_LDADD = libfork/libfork.la
EXTRA_DIST += \
	docs/examples/fuzzing/build \
	docs/examples/fuzzing/harness.c \
	docs/examples/fuzzing/parser.c \
	docs/examples/fuzzing/parser.h
