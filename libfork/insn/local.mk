# insn: the only room that knows capstone.

insn_sources = \
	libfork/insn/decode.c \
	libfork/insn/insn.h
libfork_sources += $(insn_sources)
