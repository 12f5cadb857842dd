/* SPDX-License-Identifier: MIT
 *
 * Description: the header alone: every function has code, every error a
 * sentence. `make cxx` compiles this file in every dialect.
 */
#include <shmring.h>
#include <shmring.h> /* once more: does no harm */
#include <shmring_poll.h>
#include <shmring_poll.h>
#include "tap.h"

typedef void (*function)(void);

/* Static functions that nobody mentions would not be compiled. */
static const function functions[] = {
	(function)shmring_create,
	(function)shmring_open,
	(function)shmring_create_memfd,
	(function)shmring_open_fd,
	(function)shmring_fd,
	(function)shmring_dup,
	(function)shmring_close,
	(function)shmring_unlink,
	(function)shmring_push,
	(function)shmring_pop,
	(function)shmring_push_n,
	(function)shmring_pop_n,
	(function)shmring_push_wait,
	(function)shmring_pop_wait,
	(function)shmring_push_n_wait,
	(function)shmring_pop_n_wait,
	(function)shmring_push_array,
	(function)shmring_pop_array,
	(function)shmring_push_array_wait,
	(function)shmring_pop_array_wait,
	(function)shmring_reserve,
	(function)shmring_reserve_wait,
	(function)shmring_commit,
	(function)shmring_abort,
	(function)shmring_peek,
	(function)shmring_peek_wait,
	(function)shmring_release,
	(function)shmring_error,
	(function)shmring_redelivered,
	(function)shmring_flush,
	(function)shmring_set_spin,
	(function)shmring_recover,
	(function)shmring_capacity,
	(function)shmring_length,
	(function)shmring_stat,
	(function)shmring_participant,
	(function)shmring_strerror,
	(function)shmring_peek_n,
	(function)shmring_release_n,
	(function)shmring_id,
	(function)shmring_position,
	(function)shmring_interrupt,
	(function)shmring_set_eintr,
	(function)shmring_wait_peer,
	(function)shmring_wait_gone,
	(function)shmring_poll_open,
	(function)shmring_poll_fd,
	(function)shmring_poll_arm,
	(function)shmring_poll_close,
	(function)shmring_wait_several,
	(function)shmring_poll_add,
	(function)shmring_poll_remove,
};

int
main(void)
{
	static const int errors[] = { EAGAIN, EPIPE,  ETIMEDOUT,  EMSGSIZE,
				      EBUSY,  EUSERS, EPROTO,	  EBADMSG,
				      ESTALE, EPERM,  ENOSPC,	  EINVAL,
				      ENOMSG, EEXIST, EOWNERDEAD, ECANCELED,
				      EINTR };
	const int before = 123;
	size_t i;

	tap_start();
	for (i = 0; i < sizeof(functions) / sizeof(*functions); i++)
		if (!functions[i])
			bail("a function without an address");
	for (i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		errno = before;
		ok(strcmp(shmring_strerror(-errors[i]), strerror(errors[i])) !=
				   0 &&
			   errno == before,
		   "errno %d has a sentence of its own", errors[i]);
	}
	return tap_done();
}
