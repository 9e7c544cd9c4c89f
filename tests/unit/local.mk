# unit: one test_<module>.c per module; anywhere, in milliseconds. A test is a
# block of three lines.

unit_tests =

unit_tests += tests/unit/test_afl
tests_unit_test_afl_CPPFLAGS = $(test_cppflags)
tests_unit_test_afl_LDADD = $(test_libs)

unit_tests += tests/unit/test_argv
tests_unit_test_argv_CPPFLAGS = $(test_cppflags)
tests_unit_test_argv_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_base
tests_unit_test_base_CPPFLAGS = $(test_cppflags)
tests_unit_test_base_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_branch
tests_unit_test_branch_CPPFLAGS = $(test_cppflags)
tests_unit_test_branch_LDADD = $(test_libs)

unit_tests += tests/unit/test_config
tests_unit_test_config_CPPFLAGS = $(test_cppflags)
tests_unit_test_config_LDADD = tests/lib/libtest.la libfork/config/libconfig.la $(test_libs)
EXTRA_DIST += tests/data/config

unit_tests += tests/unit/test_config_faults
tests_unit_test_config_faults_CPPFLAGS = $(test_cppflags)
tests_unit_test_config_faults_LDADD = tests/lib/libtest.la libfork/config/libconfig.la $(test_libs) $(XML_LIBS)

unit_tests += tests/unit/test_config_manual
tests_unit_test_config_manual_CPPFLAGS = $(test_cppflags)
tests_unit_test_config_manual_LDADD = libfork/config/libconfig.la $(test_libs)

unit_tests += tests/unit/test_control
tests_unit_test_control_CPPFLAGS = $(test_cppflags)
tests_unit_test_control_LDADD = tests/lib/libtest.la libfork/control/libcontrol.la $(test_libs)

unit_tests += tests/unit/test_cpu_chips
tests_unit_test_cpu_chips_CPPFLAGS = $(test_cppflags)
tests_unit_test_cpu_chips_LDADD = tests/lib/libtest.la $(test_libs)
unit_tests += tests/unit/test_chip_sections
tests_unit_test_chip_sections_CPPFLAGS = $(test_cppflags)
tests_unit_test_chip_sections_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_cpu_sections
tests_unit_test_cpu_sections_CPPFLAGS = $(test_cppflags)
tests_unit_test_cpu_sections_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_devstate
tests_unit_test_devstate_CPPFLAGS = $(test_cppflags)
tests_unit_test_devstate_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_domain_config
tests_unit_test_domain_config_CPPFLAGS = $(test_cppflags)
tests_unit_test_domain_config_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_forkd
tests_unit_test_forkd_CPPFLAGS = $(test_cppflags) $(EVENT_CFLAGS)
tests_unit_test_forkd_LDADD = tests/unit/libscene.la forkd/libforkd.la tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_forkd_adopt
tests_unit_test_forkd_adopt_CPPFLAGS = $(test_cppflags) $(EVENT_CFLAGS)
tests_unit_test_forkd_adopt_LDADD = tests/unit/libscene.la forkd/libforkd.la tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_forkd_files
tests_unit_test_forkd_files_CPPFLAGS = $(test_cppflags) $(EVENT_CFLAGS)
tests_unit_test_forkd_files_LDADD = forkd/libforkd.la tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_forkd_peer
tests_unit_test_forkd_peer_CPPFLAGS = $(test_cppflags) $(EVENT_CFLAGS)
tests_unit_test_forkd_peer_LDADD = forkd/libforkd.la tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_forkd_registry
tests_unit_test_forkd_registry_CPPFLAGS = $(test_cppflags) $(EVENT_CFLAGS)
tests_unit_test_forkd_registry_LDADD = tests/unit/libscene.la forkd/libforkd.la tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_forkd_spawn
tests_unit_test_forkd_spawn_CPPFLAGS = $(test_cppflags) $(EVENT_CFLAGS)
tests_unit_test_forkd_spawn_LDADD = forkd/libforkd.la tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_fork_stream
tests_unit_test_fork_stream_CPPFLAGS = $(test_cppflags)
tests_unit_test_fork_stream_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_gang
tests_unit_test_gang_CPPFLAGS = $(test_cppflags)
tests_unit_test_gang_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_worker
tests_unit_test_worker_CPPFLAGS = $(test_cppflags)
tests_unit_test_worker_LDADD = tests/lib/libtest.la $(test_libs)

noinst_LTLIBRARIES += tests/unit/libscene.la
tests_unit_libscene_la_SOURCES = tests/unit/forkd_scene.c tests/unit/forkd_scene.h
tests_unit_libscene_la_CPPFLAGS = $(test_cppflags) $(EVENT_CFLAGS)

unit_tests += tests/unit/test_forkd_birth
tests_unit_test_forkd_birth_CPPFLAGS = $(test_cppflags) $(EVENT_CFLAGS)
tests_unit_test_forkd_birth_LDADD = tests/unit/libscene.la forkd/libforkd.la tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_forkd_change
tests_unit_test_forkd_change_CPPFLAGS = $(test_cppflags) $(EVENT_CFLAGS)
tests_unit_test_forkd_change_LDADD = tests/unit/libscene.la forkd/libforkd.la tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_forkd_end
tests_unit_test_forkd_end_CPPFLAGS = $(test_cppflags) $(EVENT_CFLAGS)
tests_unit_test_forkd_end_LDADD = tests/unit/libscene.la forkd/libforkd.la tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_forkd_memory
tests_unit_test_forkd_memory_CPPFLAGS = $(test_cppflags) $(EVENT_CFLAGS)
tests_unit_test_forkd_memory_LDADD = tests/unit/libscene.la forkd/libforkd.la tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_forkd_job
tests_unit_test_forkd_job_CPPFLAGS = $(test_cppflags) $(EVENT_CFLAGS)
tests_unit_test_forkd_job_LDADD = forkd/libforkd.la tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_forkd_list
tests_unit_test_forkd_list_CPPFLAGS = $(test_cppflags) $(EVENT_CFLAGS)
tests_unit_test_forkd_list_LDADD = tests/unit/libscene.la forkd/libforkd.la tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_launch
tests_unit_test_launch_CPPFLAGS = $(test_cppflags) $(EVENT_CFLAGS)
tests_unit_test_launch_LDADD = forkd/libforkd.la tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_launch_files
tests_unit_test_launch_files_CPPFLAGS = $(test_cppflags) $(EVENT_CFLAGS)
tests_unit_test_launch_files_LDADD = forkd/libforkd.la tests/lib/libtest.la $(test_libs)

noinst_LTLIBRARIES += tests/unit/libmemoryscene.la
tests_unit_libmemoryscene_la_SOURCES = tests/unit/memory_scene.c tests/unit/memory_scene.h
tests_unit_libmemoryscene_la_CPPFLAGS = $(test_cppflags)

unit_tests += tests/unit/test_memory
tests_unit_test_memory_CPPFLAGS = $(test_cppflags)
tests_unit_test_memory_LDADD = tests/unit/libmemoryscene.la tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_view
tests_unit_test_view_CPPFLAGS = $(test_cppflags)
tests_unit_test_view_LDADD = tests/unit/libmemoryscene.la $(test_libs)

unit_tests += tests/unit/test_delta
tests_unit_test_delta_CPPFLAGS = $(test_cppflags)
tests_unit_test_delta_LDADD = tests/unit/libmemoryscene.la $(test_libs)

unit_tests += tests/unit/test_snapshot
tests_unit_test_snapshot_CPPFLAGS = $(test_cppflags)
tests_unit_test_snapshot_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_sandbox
tests_unit_test_sandbox_CPPFLAGS = $(test_cppflags)
tests_unit_test_sandbox_LDADD = forkd/libforkd.la $(test_libs)

unit_tests += tests/unit/test_symbols
tests_unit_test_symbols_CPPFLAGS = $(test_cppflags)
tests_unit_test_symbols_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_xlfork
tests_unit_test_xlfork_CPPFLAGS = $(test_cppflags)
tests_unit_test_xlfork_LDADD = xlfork/libxlfork.la tests/lib/libtest.la $(test_libs)

noinst_LTLIBRARIES += tests/unit/libstandin.la
tests_unit_libstandin_la_SOURCES = tests/unit/stand_in.c tests/unit/stand_in.h
tests_unit_libstandin_la_CPPFLAGS = $(test_cppflags)

unit_tests += tests/unit/test_xlfork_console
tests_unit_test_xlfork_console_CPPFLAGS = $(test_cppflags)
tests_unit_test_xlfork_console_LDADD = tests/unit/libstandin.la xlfork/libxlfork.la tests/lib/libtest.la $(test_libs) -lutil

unit_tests += tests/unit/test_xlfork_session
tests_unit_test_xlfork_session_CPPFLAGS = $(test_cppflags)
tests_unit_test_xlfork_session_LDADD = tests/unit/libstandin.la xlfork/libxlfork.la tests/lib/libtest.la $(test_libs) -lutil

unit_tests += tests/unit/test_mtree
tests_unit_test_mtree_CPPFLAGS = $(test_cppflags)
tests_unit_test_mtree_LDADD = tests/lib/libtest.la $(test_libs) $(JANSSON_LIBS)

unit_tests += tests/unit/test_qemu_refuse
tests_unit_test_qemu_refuse_CPPFLAGS = $(test_cppflags)
tests_unit_test_qemu_refuse_LDADD = tests/lib/libtest.la $(test_libs) $(JANSSON_LIBS)

unit_tests += tests/unit/test_qmp
tests_unit_test_qmp_CPPFLAGS = $(test_cppflags)
tests_unit_test_qmp_LDADD = tests/lib/libtest.la $(test_libs) $(JANSSON_LIBS)

unit_tests += tests/unit/test_speed
tests_unit_test_speed_CPPFLAGS = $(test_cppflags)
tests_unit_test_speed_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_steal_time
tests_unit_test_steal_time_CPPFLAGS = $(test_cppflags)
tests_unit_test_steal_time_LDADD = tests/lib/libtest.la $(test_libs)

noinst_LTLIBRARIES += tests/unit/libsmallstream.la
tests_unit_libsmallstream_la_SOURCES = tests/unit/small_stream.c tests/unit/small_stream.h
tests_unit_libsmallstream_la_CPPFLAGS = $(test_cppflags)

unit_tests += tests/unit/test_stream
tests_unit_test_stream_CPPFLAGS = $(test_cppflags)
tests_unit_test_stream_LDADD = tests/unit/libsmallstream.la tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_stream_write
tests_unit_test_stream_write_CPPFLAGS = $(test_cppflags)
tests_unit_test_stream_write_LDADD = tests/unit/libsmallstream.la $(test_libs)

unit_tests += tests/unit/test_vmdesc
tests_unit_test_vmdesc_CPPFLAGS = $(test_cppflags)
tests_unit_test_vmdesc_LDADD = $(test_libs)

unit_tests += tests/unit/test_btf
tests_unit_test_btf_CPPFLAGS = $(test_cppflags)
tests_unit_test_btf_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_exit
tests_unit_test_exit_CPPFLAGS = $(test_cppflags)
tests_unit_test_exit_LDADD = $(test_libs)

unit_tests += tests/unit/test_gdb_client
tests_unit_test_gdb_client_CPPFLAGS = $(test_cppflags)
tests_unit_test_gdb_client_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_kallsyms
tests_unit_test_kallsyms_CPPFLAGS = $(test_cppflags)
tests_unit_test_kallsyms_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_cpu
tests_unit_test_cpu_CPPFLAGS = $(test_cppflags)
tests_unit_test_cpu_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_insn
tests_unit_test_insn_CPPFLAGS = $(test_cppflags)
tests_unit_test_insn_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_qemu_regs
tests_unit_test_qemu_regs_CPPFLAGS = $(test_cppflags)
tests_unit_test_qemu_regs_LDADD = tests/lib/libtest.la $(test_libs)

unit_tests += tests/unit/test_walk
tests_unit_test_walk_CPPFLAGS = $(test_cppflags)
tests_unit_test_walk_LDADD = tests/lib/libtest.la $(test_libs)

if HAVE_CRITERION
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
endif
