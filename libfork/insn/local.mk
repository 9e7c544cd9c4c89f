# insn: the only room that knows capstone.

insn_sources = \
	libfork/insn/blocks.c \
	libfork/insn/capstone.h \
	libfork/insn/decode.c \
	libfork/insn/insn.h
libfork_sources += $(insn_sources)
