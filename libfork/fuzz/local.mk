# fuzz: sessions, AFL++'s protocols, the header for targets.

libfork_sources += libfork/fuzz/afl.c
libfork_sources += libfork/fuzz/afl.h
libfork_sources += libfork/fuzz/afl_child.c
libfork_sources += libfork/fuzz/afl_handshake.c
libfork_sources += libfork/fuzz/depth.c
libfork_sources += libfork/fuzz/harness.h
libfork_sources += libfork/fuzz/input.c
libfork_sources += libfork/fuzz/interrupt.c
libfork_sources += libfork/fuzz/limit.c
libfork_sources += libfork/fuzz/program.c
libfork_sources += libfork/fuzz/run.c
libfork_sources += libfork/fuzz/session.c
libfork_sources += libfork/fuzz/session.h
libfork_sources += libfork/fuzz/start.c
libfork_sources += libfork/fuzz/watchdog.c
include_libfork_HEADERS += libfork/include/libfork/afl.h
include_libfork_HEADERS += libfork/include/libfork/fuzz.h
include_HEADERS += libfork/fuzz/xlfork-harness.h
