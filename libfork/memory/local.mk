libfork_sources +=
