/* SPDX-License-Identifier: MIT */
/*
 * frames.h - messages cut out of bytes that were read ahead.
 *
 * A frame is an 8-byte header (length, tag) in the byte order of the machine
 * and the data. One call may bring many small frames; hence pollfd answers 1
 * while a frame is at hand.
 */
#ifndef ADAPTER_FRAMES_H
#define ADAPTER_FRAMES_H

#include "endpoint.h"

struct adapter_frame {
	uint32_t length;
	uint32_t tag;
};

#define ADAPTER_FRAME_MAX (INT32_MAX - (int)sizeof(struct adapter_frame))
#define ADAPTER_FRAMES_READ 65536 /* bytes to read ahead */

struct adapter_frames {
	char *unread; /* [start, end) */
	size_t start, end, size;
	bool descriptors; /* an empty frame stands for one; else it is none */
};

static inline int
adapter_frames_begin(const struct adapter *a, struct adapter_frames *f)
{
	size_t frame = a->limits.message.value + sizeof(struct adapter_frame);

	f->size = frame > ADAPTER_FRAMES_READ ? frame : ADAPTER_FRAMES_READ;
	f->unread = (char *)malloc(f->size);
	return f->unread ? 0 : -ENOMEM;
}

static inline void
adapter_frames_end(struct adapter_frames *f)
{
	free(f->unread);
	f->unread = NULL;
}

/** Move the unread bytes to the beginning; how much room is behind them. */
static inline size_t
adapter_frames_room(struct adapter_frames *f)
{
	f->end -= f->start;
	memmove(f->unread, f->unread + f->start, f->end);
	f->start = 0;
	return f->size - f->end;
}

/**
 * 1 when a whole frame is at hand, 0 when not, -EBADMSG when it is none, and
 * -EPROTOTYPE when it stands for a descriptor.
 */
static inline int
adapter_frames_ready(const struct adapter *a, const struct adapter_frames *f,
		     struct adapter_frame *frame)
{
	size_t have = f->end - f->start;

	if (have < sizeof(*frame))
		return 0;
	memcpy(frame, f->unread + f->start, sizeof(*frame));
	if (frame->length > a->limits.message.value)
		return -EBADMSG;
	if (frame->length == 0)
		return f->descriptors ? -EPROTOTYPE : -EBADMSG;
	return have >= sizeof(*frame) + frame->length;
}

/** Where the message of the frame at hand is. */
static inline void
adapter_frames_show(const struct adapter_frames *f,
		    const struct adapter_frame *frame, struct adapter_msg *msg)
{
	msg->data = f->unread + f->start + sizeof(*frame);
	msg->length = frame->length;
	msg->tag = frame->tag;
}

/** On to the next frame. */
static inline void
adapter_frames_skip(struct adapter_frames *f, const struct adapter_frame *frame)
{
	f->start += sizeof(*frame) + frame->length;
}

/** Copy the message of the frame at hand to msg->data. */
static inline void
adapter_frames_take(struct adapter_frames *f, const struct adapter_frame *frame,
		    struct adapter_msg *msg)
{
	void *to = msg->data;

	adapter_frames_show(f, frame, msg);
	memcpy(to, msg->data, msg->length);
	msg->data = to;
	adapter_frames_skip(f, frame);
}

#endif
