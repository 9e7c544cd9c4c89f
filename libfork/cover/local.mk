# cover: watching a fork's execution: coverage, sinks, stops.

libfork_sources += libfork/cover/cover.h
libfork_sources += libfork/cover/kinds.h
libfork_sources += libfork/cover/shared.c
libfork_sources += libfork/cover/ways.c
libfork_sources += libfork/cover/ways.h
libfork_sources += libfork/cover/block.c
libfork_sources += libfork/cover/blocks.c
libfork_sources += libfork/cover/blocks.h
libfork_sources += libfork/cover/blocks_table.c
libfork_sources += libfork/cover/blocks_table.h
libfork_sources += libfork/cover/branch.c
libfork_sources += libfork/cover/branch.h
libfork_sources += libfork/cover/code.c
libfork_sources += libfork/cover/code.h
libfork_sources += libfork/cover/edge.c
libfork_sources += libfork/cover/points.c
libfork_sources += libfork/cover/points.h
