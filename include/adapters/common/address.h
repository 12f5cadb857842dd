/* SPDX-License-Identifier: MIT */
/*
 * address.h - how the messaging libraries meet: a socket file of a unique
 * name, which exists before its number is told under the plain name; so nobody
 * finds a half-made one, and a name that is taken is refused.
 *
 * Without a name the file is there only until the child has connected.
 */
#ifndef ADAPTER_ADDRESS_H
#define ADAPTER_ADDRESS_H

#include "names.h"

struct adapter_address {
	uint64_t number; /* 0: none */
	char path[ADAPTER_PATH_MAX]; /* of the socket */
	bool mine; /* the file is ours to remove */
};

static inline int
adapter_address_path(struct adapter_address *d, const char *name,
		     const char *suffix)
{
	char unique[64];

	snprintf(unique, sizeof(unique), "%s.%" PRIx64, suffix, d->number);
	return adapter_path(d->path, name ? name : "unnamed", unique);
}

/** A new one, for this endpoint. */
static inline int
adapter_address_new(struct adapter_address *d, struct adapter *a,
		    const char *name)
{
	d->number = (uint64_t)getpid() << 32 ^
		    (uint64_t)((uintptr_t)a >> 4 & UINT32_MAX);
	d->mine = true;
	return adapter_address_path(d, name, a->ops->name);
}

/** Let the name lead to the socket, which is ready. */
static inline int
adapter_address_publish(struct adapter_address *d, struct adapter *a,
			const struct adapter_config *config)
{
	if (ADAPTER_SYS(a, chmod(d->path, adapter_permissions(config))))
		return adapter_error(a);
	return config->name ? adapter_publish(a, config, d->number) : 0;
}

/** Where the name leads; waits until it is published. */
static inline int
adapter_address_find(struct adapter_address *d, struct adapter *a,
		     const char *name, int64_t deadline)
{
	int error = adapter_find_number(a, name, &d->number, deadline);

	return error ? error : adapter_address_path(d, name, a->ops->name);
}

/** Remove the file of the socket; those connected stay so. */
static inline void
adapter_address_drop(struct adapter_address *d)
{
	if (d->mine)
		unlink(d->path);
	d->mine = false;
}

static inline int
adapter_address_unlink(const struct adapter_ops *ops, const char *name)
{
	struct adapter_address d = { .mine = true };

	if (adapter_lookup(name, ops->name, &d.number) == 0 &&
	    adapter_address_path(&d, name, ops->name) == 0)
		adapter_address_drop(&d);
	return adapter_unlink_path(ops, name);
}

#endif
