/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs without an operating system: an ELF file becomes a snapshot whose
 * only vCPU stands at the entry point, in user mode (CPL 3), which every KVM
 * runs natively. Linear addresses are guest-physical ones; the lowest 2 MiB
 * hold the page tables and are out of its reach, so a null pointer faults.
 * There is no interrupt table: a fault is a triple fault.
 */
#include <elf.h>
#include <endian.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/fuzz.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"

#define PAGE           4096UL
#define LOW            (2UL << 20) /* ours */
#define MEMORY_DEFAULT (64UL << 20)
#define MEMORY_MIN     (4UL << 20)
#define MEMORY_MAX     (256UL << 20)
#define STACK_BYTES    (1UL << 20)
#define HEADERS_MAX    64

/* Page tables, in guest-physical memory. */
#define PML4       0x1000UL
#define PDPT       0x2000UL
#define PD         0x3000UL
#define PT         0x4000UL          /* one page per 2 MiB */
#define PTE_TABLE  0x27UL            /* accessed, user, writable, present */
#define PTE_OURS   (0x61UL | PTE_NX) /* dirty, accessed, present */
#define PTE_THEIRS (PTE_OURS | PTE_WRITE | 0x04UL) /* and user */
#define PTE_WRITE  0x02UL
#define PTE_NX     (1UL << 63)

/*
 * A KVM in software asks the port bitmap whatever IOPL is: all zeros, so all
 * ports are allowed (Intel SDM volume 1, 19.5.2).
 */
#define TSS               0x90000UL
#define TSS_BITMAP        104
#define TSS_BITMAP_OFFSET 102
#define TSS_LIMIT         (TSS_BITMAP + 8192 - 1)

struct program {
	int fd;
	const char *name;
	uint64_t memory_bytes;
	uint64_t entry;
	uint64_t end;   /* of the highest segment, whole pages */
	uint8_t *image; /* owned: guest-physical memory from 0 to `end` */
	Elf64_Phdr headers[HEADERS_MAX];
	unsigned header_count;
};

static int
refuse(const struct program *program, const char *why, struct lf_error *error)
{
	return error_set(error, ENOEXEC, "'%s' %s", program->name, why);
}

static int
read_exactly(const struct program *program, void *buf, size_t len,
    uint64_t offset, struct lf_error *error)
{
	ssize_t n;

	if (offset > INT64_MAX - len)
		return refuse(program, "is damaged", error);
	n = sys.pread(program->fd, buf, len, (off_t)offset);
	if (n < 0)
		return error_sys(
		    error, errno, "cannot read '%s'", program->name);
	if ((size_t)n != len)
		return refuse(program, "is cut off", error);
	return 0;
}

/* --- the file --- */

static int
read_headers(struct program *program, struct lf_error *error)
{
	Elf64_Ehdr header;
	unsigned count;
	int rc = read_exactly(program, &header, sizeof(header), 0, error);

	if (rc < 0 && rc != -ENOEXEC)
		return rc;
	if (rc < 0 || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 ||
	    header.e_ident[EI_DATA] != ELFDATA2LSB ||
	    le16toh(header.e_machine) != EM_X86_64)
		return refuse(program, "is no x86-64 ELF file", error);
	if (le16toh(header.e_type) != ET_EXEC)
		return refuse(program,
		    "is not linked at fixed addresses (cc -static -no-pie)",
		    error);
	count = le16toh(header.e_phnum);
	if (count == 0 || count > HEADERS_MAX ||
	    le16toh(header.e_phentsize) != sizeof(Elf64_Phdr))
		return refuse(program, "has no sound program headers", error);
	program->header_count = count;
	program->entry = le64toh(header.e_entry);
	return read_exactly(program, program->headers,
	    count * sizeof(Elf64_Phdr), le64toh(header.e_phoff), error);
}

static int
check_segment(
    struct program *program, const Elf64_Phdr *segment, struct lf_error *error)
{
	uint64_t begin = le64toh(segment->p_vaddr);
	uint64_t len = le64toh(segment->p_memsz);
	uint64_t top = program->memory_bytes - STACK_BYTES;

	if (le64toh(segment->p_filesz) > len)
		return refuse(program, "has a damaged segment", error);
	if (begin < LOW || begin > top || len > top - begin)
		return error_set(error, ENOEXEC,
		    "'%s' has a segment at 0x%" PRIx64 ", %" PRIu64
		    " bytes; they must lie from 0x%lx to 0x%" PRIx64
		    " (cc -Wl,-Ttext-segment=0x400000; more memory)",
		    program->name, begin, len, LOW, top);
	if (begin + len > program->end)
		program->end = (begin + len + PAGE - 1) & ~(PAGE - 1);
	return 0;
}

static int
check_segments(struct program *program, struct lf_error *error)
{
	unsigned i;
	int rc = 0;

	for (i = 0; rc == 0 && i < program->header_count; i++) {
		const Elf64_Phdr *header = &program->headers[i];

		if (le32toh(header->p_type) == PT_INTERP)
			return refuse(program,
			    "needs a dynamic linker (cc -static -no-pie)",
			    error);
		if (le32toh(header->p_type) == PT_LOAD)
			rc = check_segment(program, header, error);
	}
	if (rc == 0 && (program->entry < LOW || program->entry >= program->end))
		rc = refuse(program, "has an entry point outside of it", error);
	return rc;
}

/* --- memory --- */

static void
put(struct program *program, uint64_t gpa, uint64_t value)
{
	value = htole64(value);
	memcpy(program->image + gpa, &value, sizeof(value));
}

static uint64_t
get(const struct program *program, uint64_t gpa)
{
	uint64_t value;

	memcpy(&value, program->image + gpa, sizeof(value));
	return le64toh(value);
}

static void
make_tables(struct program *program)
{
	uint64_t page;

	put(program, PML4, PDPT | PTE_TABLE);
	put(program, PDPT, PD | PTE_TABLE);
	for (page = 0; page < program->memory_bytes / PAGE; page++) {
		uint64_t flags = page < LOW / PAGE ? PTE_OURS : PTE_THEIRS;

		put(program, PD + page / 512 * 8,
		    (PT + page / 512 * PAGE) | PTE_TABLE);
		put(program, PT + page * 8, page * PAGE | flags);
	}
	program->image[TSS + TSS_BITMAP_OFFSET] = TSS_BITMAP;
}

/*
 * The pages of a segment get its permissions; a page that two of them share,
 * those of both. `first` runs before `more`.
 */
static void
protect(struct program *program, const Elf64_Phdr *segment, bool first)
{
	uint64_t begin = le64toh(segment->p_vaddr) & ~(PAGE - 1);
	uint64_t end = le64toh(segment->p_vaddr) + le64toh(segment->p_memsz);
	uint32_t flags = le32toh(segment->p_flags);
	uint64_t at;

	for (at = begin; at < end; at += PAGE) {
		uint64_t entry = get(program, PT + at / PAGE * 8);

		if (first)
			entry = (entry & ~PTE_WRITE) | PTE_NX;
		if (!first && (flags & PF_W))
			entry |= PTE_WRITE;
		if (!first && (flags & PF_X))
			entry &= ~PTE_NX;
		put(program, PT + at / PAGE * 8, entry);
	}
}

static int
load(struct program *program, struct lf_error *error)
{
	unsigned pass, i;

	program->image = sys.calloc(1, program->end);
	if (program->image == NULL)
		return error_nomem(error);
	make_tables(program);
	for (pass = 0; pass < 2; pass++)
		for (i = 0; i < program->header_count; i++) {
			const Elf64_Phdr *segment = &program->headers[i];

			if (le32toh(segment->p_type) == PT_LOAD)
				protect(program, segment, pass == 0);
		}
	for (i = 0; i < program->header_count; i++) {
		const Elf64_Phdr *segment = &program->headers[i];
		int rc;

		if (le32toh(segment->p_type) != PT_LOAD)
			continue;
		rc = read_exactly(program,
		    program->image + le64toh(segment->p_vaddr),
		    le64toh(segment->p_filesz), le64toh(segment->p_offset),
		    error);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- the snapshot --- */

/* RDI and RSI: from where to where memory is free, below the stack. */
static void
make_regs(const struct program *program, struct lf_vcpu_regs *ret_regs)
{
	const struct lf_segment data = {
	    .limit = 0xffffffff, .selector = 0x2b, .access = 0xc0f3};

	*ret_regs = (struct lf_vcpu_regs){
	    .rip = program->entry,
	    .rsp = program->memory_bytes - 16,
	    .rdi = program->end,
	    .rsi = program->memory_bytes - STACK_BYTES,
	    .rflags = 0x3002, /* IOPL 3 */
	    .cs = {.limit = 0xffffffff, .selector = 0x33, .access = 0xa0fb},
	    .ss = data,
	    .ds = data,
	    .es = data,
	    .fs = data,
	    .gs = data,
	    .tr = {.base = TSS,
		.limit = TSS_LIMIT,
		.selector = 0x40,
		.access = 0x008b},
	    .cr0 = 0x80050033, /* PG, AM, WP, NE, ET, MP, PE */
	    .cr3 = PML4,
	    .cr4 = 0x620,  /* PAE, OSFXSR, OSXMMEXCPT */
	    .efer = 0xd01, /* LME, LMA, NXE, SCE */
	    .apic_base = 0xfee00900,
	};
}

DEFINE_CLEANUP(struct lf_snapshot_builder *, lf_snapshot_builder_free);

static int
make_snapshot(const struct program *program, struct lf_snapshot **ret_snapshot,
    struct lf_error *error)
{
	cleanup(
	    lf_snapshot_builder_free_p) struct lf_snapshot_builder *builder =
	    NULL;
	struct lf_vcpu_regs regs;
	int rc;

	make_regs(program, &regs);
	rc = lf_snapshot_builder_new(&builder, error);
	if (rc == 0)
		rc = lf_snapshot_builder_add_buffer(builder, program->image,
		    program->end, program->memory_bytes, error);
	if (rc >= 0)
		rc = lf_snapshot_builder_add_range(builder, 0,
		    program->memory_bytes, (unsigned)rc, 0, 0, error);
	if (rc >= 0)
		rc = lf_snapshot_builder_add_vcpu(builder, &regs, error);
	if (rc >= 0)
		rc = lf_snapshot_builder_finish(builder, ret_snapshot, error);
	return rc < 0 ? rc : 0;
}

int
lf_fuzz_load_program(int fd, const char *name, uint64_t memory_bytes,
    struct lf_snapshot **ret_snapshot, struct lf_error *error)
{
	struct program program = {
	    .fd = fd,
	    .name = name,
	    .memory_bytes = memory_bytes != 0 ? memory_bytes : MEMORY_DEFAULT,
	};
	int rc;

	if (program.memory_bytes % LOW != 0 ||
	    program.memory_bytes < MEMORY_MIN ||
	    program.memory_bytes > MEMORY_MAX)
		return error_set(error, EINVAL,
		    "a program's memory is %lu to %lu MiB, in steps of 2",
		    MEMORY_MIN >> 20, MEMORY_MAX >> 20);
	rc = read_headers(&program, error);
	if (rc == 0)
		rc = check_segments(&program, error);
	if (rc == 0)
		rc = load(&program, error);
	if (rc == 0)
		rc = make_snapshot(&program, ret_snapshot, error);
	free(program.image);
	return rc;
}
