/* SPDX-License-Identifier: MIT */
/* system.c - the machine: what it is, and which CPUs to take */
#include "system.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef BENCH_FLAGS
#define BENCH_FLAGS "unknown"
#endif
#ifndef BENCH_COMMIT
#define BENCH_COMMIT "unknown"
#endif

/** The first line of a file, or "". */
static const char *
first_line(const char *path)
{
	static char text[512];
	FILE *f = fopen(path, "r");

	if (!f || !fgets(text, sizeof(text), f))
		text[0] = '\0';
	if (f)
		fclose(f);
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* ------------------------------------------------------------------- CPUs */

int
system_cpus(int cpus[SYSTEM_CPUS])
{
	cpu_set_t set;
	int i, n = 0;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 0;
	for (i = 0; i < SYSTEM_CPUS; i++)
		if (CPU_ISSET((size_t)i, &set))
			cpus[n++] = i;
	return n;
}

static const char *
cpu_file(int cpu, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/%s", cpu,
		 name);
	return first_line(path);
}

/** Whether two CPUs have the same, known text in this file. */
static bool
same(int a, int b, const char *name)
{
	char text[512];

	snprintf(text, sizeof(text), "%s", cpu_file(a, name));
	return text[0] && strcmp(text, cpu_file(b, name)) == 0;
}

enum place
system_relation(int a, int b)
{
	static const char *const caches[] = {
		"cache/index4/shared_cpu_list",
		"cache/index3/shared_cpu_list",
		"cache/index2/shared_cpu_list",
	};
	size_t i;

	if (a == b)
		return PLACE_SAME;
	if (same(a, b, "topology/thread_siblings_list"))
		return PLACE_SIBLING;
	for (i = 0; i < sizeof(caches) / sizeof(caches[0]); i++)
		if (cpu_file(a, caches[i])[0]) /* the last level that it has */
			return same(a, b, caches[i]) ? PLACE_CACHE
						     : PLACE_ACROSS;
	return same(a, b, "topology/physical_package_id") ? PLACE_CACHE
							  : PLACE_ACROSS;
}

bool
system_pair(enum place place, int *sender, int *receiver)
{
	int cpus[SYSTEM_CPUS];
	int i, k, n = system_cpus(cpus);

	for (i = 0; i < n; i++)
		for (k = i; k < n; k++)
			if (system_relation(cpus[i], cpus[k]) == place) {
				*sender = cpus[i];
				*receiver = cpus[k];
				return true;
			}
	return false;
}

const char *
system_place_name(enum place place)
{
	static const char *const names[] = { "none", "same-core", "smt", "llc",
					     "across" };

	return names[place];
}

/* ------------------------------------------------------------------ facts */

static char value_text[1024];

static void
cpu_model(void)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	char text[256], *colon;

	while (f && fgets(text, sizeof(text), f)) {
		colon = strchr(text, ':');
		if (!colon || strncmp(text, "model name", 10))
			continue;
		colon[1 + strcspn(colon + 1, "\n")] = '\0';
		snprintf(value_text, sizeof(value_text), "%s", colon + 2);
		break;
	}
	if (f)
		fclose(f);
}

static void
cpu_count(void)
{
	int cpus[SYSTEM_CPUS];

	snprintf(value_text, sizeof(value_text), "%d of %ld", system_cpus(cpus),
		 sysconf(_SC_NPROCESSORS_ONLN));
}

static void
kernel(void)
{
	struct utsname name;

	if (uname(&name) == 0)
		snprintf(value_text, sizeof(value_text), "%.60s %.80s %.40s",
			 name.sysname, name.release, name.machine);
}

/** Which of the CPU's faults the kernel works around. */
static void
mitigations(void)
{
	const char *directory = "/sys/devices/system/cpu/vulnerabilities";
	DIR *d = opendir(directory);
	struct dirent *e;
	size_t length = 0;

	while (d && (e = readdir(d))) {
		char path[400];

		snprintf(path, sizeof(path), "%s/%s", directory, e->d_name);
		if (strncmp(first_line(path), "Mitigation", 10) == 0 &&
		    length < sizeof(value_text))
			length += (size_t)snprintf(value_text + length,
						   sizeof(value_text) - length,
						   "%s%s", length ? " " : "",
						   e->d_name);
	}
	if (d)
		closedir(d);
	if (!length)
		snprintf(value_text, sizeof(value_text), "none");
}

static void
limits(void)
{
	static const char *const names[] = {
		"fs/pipe-max-size",	 "fs/mqueue/msg_max",
		"fs/mqueue/msgsize_max", "kernel/msgmax",
		"kernel/msgmnb",	 "net/core/wmem_default",
		"net/core/rmem_default", "net/unix/max_dgram_qlen",
	};
	size_t i, length = 0;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/sys/%s", names[i]);
		length += (size_t)snprintf(
			value_text + length, sizeof(value_text) - length,
			"%s%s=%s", i ? " " : "", names[i], first_line(path));
	}
}

static void
file(const char *path)
{
	const char *text = first_line(path);

	snprintf(value_text, sizeof(value_text), "%s",
		 *text ? text : "unknown");
}

static void
governor(void)
{
	file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
}

static void
clock_source(void)
{
	file("/sys/devices/system/clocksource/clocksource0/"
	     "current_clocksource");
}

static void
load_average(void)
{
	file("/proc/loadavg");
}

static void
huge_pages(void)
{
	file("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
}

static void
compiler(void)
{
#if defined(__clang__)
	snprintf(value_text, sizeof(value_text), "%s", __VERSION__);
#else
	snprintf(value_text, sizeof(value_text), "gcc %s", __VERSION__);
#endif
}

static void
flags(void)
{
	snprintf(value_text, sizeof(value_text), "%s", BENCH_FLAGS);
}

static void
commit(void)
{
	snprintf(value_text, sizeof(value_text), "%s", BENCH_COMMIT);
}

const char *
system_fact(unsigned number, const char **value)
{
	static const struct {
		const char *name;
		void (*read)(void);
	} facts[] = {
		{ "cpu", cpu_model },
		{ "cpus", cpu_count },
		{ "kernel", kernel },
		{ "mitigations", mitigations },
		{ "governor", governor },
		{ "clock_source", clock_source },
		{ "huge_pages_shmem", huge_pages },
		{ "limits", limits },
		{ "load_average", load_average },
		{ "compiler", compiler },
		{ "flags", flags },
		{ "commit", commit },
	};

	if (number >= sizeof(facts) / sizeof(facts[0]))
		return NULL;
	value_text[0] = '\0';
	facts[number].read();
	*value = value_text;
	return facts[number].name;
}
