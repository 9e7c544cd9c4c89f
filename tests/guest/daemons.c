/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * echod [PORT]   TCP server (default 7) that sends back what it receives
 * powerd         powers the guest off when the ACPI power button is pressed
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <linux/input.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest.h"

enum { CLIENTS = 32 };

int
echod_main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct pollfd fds[1 + CLIENTS] = {0};
	int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char buffer[4096];

	address.sin_port =
	    htons(argc > 1 ? (uint16_t)parse_number("port", argv[1]) : 7);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, CLIENTS) < 0)
		err(1, "port %u", ntohs(address.sin_port));
	printf("echod port=%u\n", ntohs(address.sin_port));
	fflush(stdout);
	for (int i = 0; i <= CLIENTS; i++)
		fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
	fds[0].fd = listener;
	while (poll(fds, 1 + CLIENTS, -1) >= 0) {
		for (int i = 1; i <= CLIENTS; i++) {
			ssize_t n;

			if (fds[i].fd < 0 || fds[i].revents == 0)
				continue;
			n = read(fds[i].fd, buffer, sizeof(buffer));
			if (n > 0 && send(fds[i].fd, buffer, (size_t)n,
					 MSG_NOSIGNAL) == n)
				continue;
			close(fds[i].fd);
			fds[i].fd = -1;
		}
		if (fds[0].revents & POLLIN) {
			int client =
			    accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			int i = 1;

			while (i <= CLIENTS && fds[i].fd >= 0)
				i++;
			if (i > CLIENTS)
				close(client);
			else
				fds[i].fd = client;
		}
	}
	return 1;
}

static int
open_power_button(void)
{
	for (int i = 0; i < 16; i++) {
		char path[32], name[64] = "";
		int fd;

		snprintf(path, sizeof(path), "/dev/input/event%d", i);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (ioctl(fd, EVIOCGNAME(sizeof(name) - 1), name) >= 0 &&
		    strcmp(name, "Power Button") == 0)
			return fd;
		close(fd);
	}
	errx(1, "no power button; start with xf.modules=button,evdev");
}

int
powerd_main(int argc, char **argv)
{
	int fd = open_power_button();
	struct input_event event;

	(void)argc;
	(void)argv;
	printf("powerd ready\n");
	fflush(stdout);
	while (read(fd, &event, sizeof(event)) == sizeof(event)) {
		if (event.type == EV_KEY && event.code == KEY_POWER &&
		    event.value == 1) {
			printf("powering off\n");
			fflush(stdout);
			sync();
			reboot(RB_POWER_OFF);
		}
	}
	return 1;
}
