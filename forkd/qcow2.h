/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a qcow2 image says of itself in its header: size, backing file and the
 * backing file's format. The image was made by a guest or a stranger, maybe:
 * only a domain process, in its sandbox, calls this.
 */
#ifndef FORKD_QCOW2_H
#define FORKD_QCOW2_H

#include <stdbool.h>
#include <stdint.h>

#include <libfork/error.h>

#define QCOW2_NAME_MAX   1023
#define QCOW2_FORMAT_MAX 15

struct qcow2 {
	uint64_t bytes;                    /* of the disk */
	char backing[QCOW2_NAME_MAX + 1];  /* as it stands there; "": none */
	char format[QCOW2_FORMAT_MAX + 1]; /* of the backing file; "" */
};

/*
 * Reads the header of the image in `fd`. 1 with `*ret`, 0 when it is no qcow2,
 * -EBADMSG when the header is wrong.
 */
int qcow2_read(
    int fd, const char *path, struct qcow2 *ret, struct lf_error *error);

#endif
