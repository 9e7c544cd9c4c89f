/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The vector as a list that grows, and as text for people.
 */
#include "qemu/argv_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "base/writer.h"

void
lf_qemu_argv_free(struct lf_qemu_argv *argv)
{
	if (argv == NULL)
		return;
	for (size_t i = 0; i < argv->count; i++)
		free(argv->argv[i]);
	for (size_t i = 0; i < argv->fd_count; i++)
		free((char *)argv->fds[i].path);
	free(argv->argv);
	free(argv->fds);
	free(argv);
}

void
argv_list_init(struct argv_list *list)
{
	*list = (struct argv_list){0};
	list->argv = sys.calloc(1, sizeof(*list->argv));
	list->failed = list->argv == NULL;
}

void
argv_list_done(struct argv_list *list)
{
	lf_qemu_argv_free(take_ptr(list->argv));
}

/* Doubles an array when it is full. */
static bool
grow(void *array, size_t *size, size_t count, size_t element)
{
	size_t wanted = *size > 0 ? 2 * *size : 64;
	void *grown;

	if (count < *size)
		return true;
	grown = sys.realloc(*(void **)array, wanted * element);
	if (grown == NULL)
		return false;
	*(void **)array = grown;
	*size = wanted;
	return true;
}

void
argv_add(struct argv_list *list, const char *format, ...)
{
	struct lf_qemu_argv *argv = list->argv;
	char *arg;
	va_list args;
	int len;

	if (list->failed)
		return;
	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	arg = sys.malloc((size_t)len + 1);
	/* One more than the arguments: the NULL at the end. */
	if (arg == NULL || !grow(&argv->argv, &list->size, argv->count + 1,
			       sizeof(*argv->argv))) {
		free(arg);
		list->failed = true;
		return;
	}
	va_start(args, format);
	vsnprintf(arg, (size_t)len + 1, format, args);
	va_end(args);
	argv->argv[argv->count++] = arg;
	argv->argv[argv->count] = NULL;
}

int
argv_add_fd(struct argv_list *list, enum lf_qemu_fd_kind kind, const char *path,
    int open_flags, const char *what, ...)
{
	struct lf_qemu_argv *argv = list->argv;
	struct lf_qemu_fd *fd;
	char *copy = NULL;
	va_list args;

	if (list->failed)
		return -1;
	if ((path != NULL && (copy = sys.strdup(path)) == NULL) ||
	    !grow(&argv->fds, &list->fd_size, argv->fd_count,
		sizeof(*argv->fds))) {
		free(copy);
		list->failed = true;
		return -1;
	}
	fd = &argv->fds[argv->fd_count];
	*fd = (struct lf_qemu_fd){
	    .number = ARGV_FIRST_FD + (int)argv->fd_count++,
	    .kind = kind,
	    .path = copy,
	    .open_flags = open_flags,
	};
	va_start(args, what);
	vsnprintf(fd->what, sizeof(fd->what), what, args);
	va_end(args);
	return fd->number;
}

void
argv_fd_is_reopened(struct argv_list *list)
{
	if (!list->failed)
		list->argv->fds[list->argv->fd_count - 1].reopened = true;
}

int
argv_escape(const char *text, char *buf, size_t size)
{
	size_t len = 0;

	for (; *text != '\0'; text++) {
		size_t wanted = *text == ',' ? 2 : 1;

		if (size - len <= wanted)
			return -ENAMETOOLONG;
		memset(buf + len, *text, wanted);
		len += wanted;
	}
	buf[len] = '\0';
	return 0;
}

static void
print(struct writer *w, const char *text)
{
	writer_bytes(w, text, strlen(text));
}

/* As one word of a shell: in single quotes unless every byte is harmless. */
static void
print_word(struct writer *w, const char *word)
{
	static const char harmless[] = "0123456789_-+=./:,@%"
				       "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "abcdefghijklmnopqrstuvwxyz";

	if (word[0] != '\0' && word[strspn(word, harmless)] == '\0') {
		print(w, word);
		return;
	}
	print(w, "'");
	for (; *word != '\0'; word++)
		if (*word == '\'')
			print(w, "'\\''");
		else
			writer_u8(w, (uint8_t)*word);
	print(w, "'");
}

static const char *
redirection(int open_flags)
{
	switch (open_flags & O_ACCMODE) {
	case O_RDWR:
		return "<>";
	case O_WRONLY:
		return ">>";
	default:
		return "<";
	}
}

int
lf_qemu_argv_print(
    const struct lf_qemu_argv *argv, char **ret_text, struct lf_error *error)
{
	cleanup(writer_done) struct writer w = {0};
	char line[128];

	for (size_t i = 0; i < argv->fd_count; i++) {
		const struct lf_qemu_fd *fd = &argv->fds[i];

		if (fd->kind == LF_QEMU_FD_FILE)
			continue;
		snprintf(line, sizeof(line), "# descriptor %d: %s%s",
		    fd->number, fd->what, fd->path != NULL ? " " : "");
		print(&w, line);
		print(&w, fd->path != NULL ? fd->path : "");
		print(&w, "\n");
	}
	for (size_t i = 0; i < argv->count; i++) {
		const char *arg = argv->argv[i];

		if (i > 0)
			print(&w, arg[0] == '-' ? " \\\n\t" : " ");
		print_word(&w, arg);
	}
	for (size_t i = 0; i < argv->fd_count; i++) {
		const struct lf_qemu_fd *fd = &argv->fds[i];

		if (fd->kind != LF_QEMU_FD_FILE)
			continue;
		snprintf(line, sizeof(line), " \\\n\t%d%s", fd->number,
		    redirection(fd->open_flags));
		print(&w, line);
		print_word(&w, fd->path);
	}
	print(&w, "\n");
	writer_u8(&w, '\0');
	if (writer_status(&w, NULL) < 0)
		return error_nomem(error);
	*ret_text = (char *)take_ptr(w.data);
	return 0;
}
