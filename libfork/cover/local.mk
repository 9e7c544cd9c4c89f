# cover: watching a fork's execution: coverage, sinks, stops.

libfork_sources += libfork/cover/cover.h
libfork_sources += libfork/cover/kinds.h
libfork_sources += libfork/cover/shared.c
