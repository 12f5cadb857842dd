// SPDX-License-Identifier: MIT
//
// Description: the header in C++: a class around a handle, threads, batches,
// zero copy; exceptions for errors.
#include "shmring.h"
#include "tap.h"

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace
{

class Ring
{
	struct shmring ring;

	static int
	check(long result)
	{
		if (result < 0)
			throw std::runtime_error(
				shmring_strerror(static_cast<int>(result)));
		return static_cast<int>(result);
	}

      public:
	explicit Ring(const struct shmring_config &config)
	{
		check(shmring_create_memfd(&ring, &config));
	}
	Ring(const Ring &other, unsigned roles)
	{
		check(shmring_dup(&ring, &other.ring, roles));
	}
	Ring(const Ring &) = delete;
	Ring &operator=(const Ring &) = delete;
	~Ring()
	{
		shmring_close(&ring);
	}
	void
	push(const std::string &message)
	{
		check(shmring_push_wait(&ring, message.data(), message.size(),
					-1));
	}
	std::string
	pop()
	{
		size_t size = 0;
		const void *place = shmring_peek_wait(&ring, &size, -1);
		if (!place) {
			check(shmring_error(&ring));
			throw std::logic_error("an error without its number");
		}
		std::string message(static_cast<const char *>(place), size);
		check(shmring_release(&ring));
		return message;
	}
	struct shmring *
	raw()
	{
		return &ring;
	}
};

void
carry_strings(uint32_t mode)
{
	struct shmring_config config = {};
	config.mode = mode;
	config.roles = SHMRING_PRODUCER;
	Ring writer(config);
	Ring reader(writer, SHMRING_CONSUMER);
	int wrong = 0;
	std::thread thread([&writer] {
		for (int i = 0; i < 10000; i++)
			writer.push(std::string(static_cast<size_t>(i % 256),
						static_cast<char>(i)));
	});
	for (int i = 0; i < 10000; i++)
		wrong += reader.pop() !=
			 std::string(static_cast<size_t>(i % 256),
				     static_cast<char>(i));
	thread.join();
	is_int(wrong, 0, "strings from thread to thread");
	std::vector<struct iovec> batch(3);
	std::string word("word");
	for (auto &entry : batch) {
		entry.iov_base = &word[0];
		entry.iov_len = word.size();
	}
	is_int(shmring_push_n(writer.raw(), batch.data(), batch.size()), 3,
	       "a batch");
	ok(reader.pop() == "word", "arrives");
	bool thrown = false;
	try {
		writer.push(std::string(257, 'x'));
	} catch (const std::runtime_error &) {
		thrown = true;
	}
	ok(thrown, "an error becomes an exception");
	is_int(shmring_wait_peer(reader.raw(), SHMRING_PRODUCER, -1), 0,
	       "each has a peer");
	is_int(shmring_wait_gone(reader.raw(), SHMRING_PRODUCER, 0), -EAGAIN,
	       "that stays");
	shmring_interrupt(reader.raw());
	is_int(shmring_pop_wait(reader.raw(), &word[0], 0, -1), -EMSGSIZE,
	       "who need not wait");
	shmring_set_eintr(reader.raw(), 1);
	struct shmring_stat stat;
	is_int(shmring_stat(reader.raw(), &stat), 0, "a name for two things");
	is_int(static_cast<intmax_t>(stat.pushed), 10003, "counted");
}

} // namespace

int
main()
{
	tap_start();
	carry_strings(SHMRING_SPSC);
	carry_strings(SHMRING_MPMC);
	carry_strings(SHMRING_BROADCAST);
	return tap_done();
}
