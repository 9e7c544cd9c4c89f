# Micro-guests: flat images that tests load at MICRO_IMAGE (layout.h). To add
# one: write NAME.S or NAME.c here and put its name into the list.

micro_guests = \
	tests/guest/micro/irq.micro
micro_guests += tests/guest/micro/json.micro

EXTRA_DIST += \
	tests/guest/micro/irq.c \
	tests/guest/micro/irq.h \
	tests/guest/micro/layout.h \
	tests/guest/micro/micro.ld \
	tests/guest/micro/start.S

EXTRA_DIST += tests/guest/micro/json.c tests/guest/micro/json.h

# Clang fears for vector registers that handlers' callees could change: none
# does, with general registers only.
MICRO_CFLAGS = -std=gnu11 -O1 -g0 -Wall -Wextra -ffreestanding -fno-pic \
	-fno-stack-protector -fcf-protection=none -mno-red-zone \
	-mgeneral-regs-only -Wno-interrupt-service-routine -nostdlib -static \
	-I$(top_srcdir)/tests
MICRO_LINK = -Wl,--build-id=none,-z,noexecstack,-z,norelro,--no-warn-rwx-segments \
	-T $(top_srcdir)/tests/guest/micro/micro.ld
micro_parts = \
	$(top_srcdir)/tests/guest/micro/layout.h \
	$(top_srcdir)/tests/guest/micro/micro.ld \
	$(top_srcdir)/tests/guest/micro/start.S

SUFFIXES = .micro
.c.micro:
	$(AM_V_CC)$(MKDIR_P) $(@D) && \
	$(CC) $(MICRO_CFLAGS) $(MICRO_LINK) -o $@.elf \
		$(top_srcdir)/tests/guest/micro/start.S $< && \
	objcopy -O binary $@.elf $@
.S.micro:
	$(AM_V_CC)$(MKDIR_P) $(@D) && \
	$(CC) $(MICRO_CFLAGS) $(MICRO_LINK) -o $@.elf $< && \
	objcopy -O binary $@.elf $@
$(micro_guests): $(micro_parts)
check_DATA = $(micro_guests)
tests/guest/micro/json.micro: $(top_srcdir)/tests/guest/micro/json.h
tests/guest/micro/irq.micro: $(top_srcdir)/tests/guest/micro/irq.h
CLEANFILES += $(micro_guests) $(micro_guests:=.elf)
