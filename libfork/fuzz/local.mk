# fuzz: sessions, AFL++'s protocols, the header for targets.

include_HEADERS += libfork/fuzz/xlfork-harness.h
