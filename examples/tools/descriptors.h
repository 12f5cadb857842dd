/* SPDX-License-Identifier: MIT
 *
 * descriptors.h - the three that everybody has
 */
#ifndef TOOLS_DESCRIPTORS_H
#define TOOLS_DESCRIPTORS_H

#include <fcntl.h>
#include <unistd.h>

/* Else what we open (a recording, a connection to a server) would get the place
 * of a closed one, and with it what is meant for people. They stay as useless
 * as they were. */
static void
keep_standard_descriptors(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", fd ? O_RDONLY : O_WRONLY);
}

#endif /* TOOLS_DESCRIPTORS_H */
