# SPDX-License-Identifier: MIT
# shmring is one header: what is built here shows, tests and measures it.
#
#   CC CXX CPPFLAGS CFLAGS CXXFLAGS LDFLAGS LDLIBS   as usual
#   BUILD=build  PREFIX=/usr/local  DESTDIR=         where things go
#   V=1                    print the commands
#   REQUIRE_ALL=1          what is missing fails instead of a visible skip
#   SECONDS_PER_TEST=1 SEED=...                      for the tests
#   TESTS='build/tests/test_header tests/shmcat.t'   only these

BUILD ?= build
PREFIX ?= /usr/local
CFLAGS ?= -O2 -g
CXXFLAGS ?= -O2 -g
PROVEFLAGS ?= -j2
WARNINGS = -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' '$1' '$2')
# Ends a recipe, visibly, when a tool that it needs is missing.
need = command -v $1 >/dev/null || { echo '\# SKIP $@: no $1'; \
	exit $(if $(filter 1,$(REQUIRE_ALL)),1,0); }
export BUILD CC CXX

# Each optional library that is here gives -DHAVE_CK -lck and the like.
SYSTEM = $(addprefix -isystem ,/usr/include/tirpc /usr/include/dpdk \
	/usr/include/$(subst -pc-,-,$(shell $(CC) -dumpmachine))/dpdk \
	$(wildcard /usr/include/iceoryx/v*))
OPTIONAL := $(shell for library in 'CK ck ck_ring.h' 'ZMQ zmq zmq.h' \
		'NNG nng nng/nng.h' 'NATS nats nats/nats.h' \
		'TIRPC tirpc tirpc/rpc/rpc.h' 'RTE rte_ring rte_ring.h' \
		'QB qb qb/qbrb.h' 'TBB tbb tbb/concurrent_queue.h' \
		'ICEORYX iceoryx_posh iceoryx_posh/runtime/posh_runtime.hpp'; do \
	set -- $$library; \
	printf '\043if !__has_include(<%s>)\n\043error\n\043endif\n' $$3 | \
		$(CC) $(CPPFLAGS) $(SYSTEM) -E -x c - >/dev/null 2>&1 && \
	test -e "$$($(CC) -print-file-name=lib$$2.so)" && \
	echo "-DHAVE_$$1 -l$$2"; done)
OPTIONAL += $(if $(filter -DHAVE_ICEORYX,$(OPTIONAL)),\
	-liceoryx_posh_roudi -liceoryx_hoofs)
CPP_ALL = -Iinclude -Itests $(SYSTEM) -D_GNU_SOURCE \
	$(filter -D%,$(OPTIONAL)) -MMD -MP -MF $@.d -MT $@ $(CPPFLAGS)
LIBS = -Wl,--as-needed $(filter -l%,$(OPTIONAL)) -pthread -lrt -lm $(LDLIBS)
# gcc warns that its thread sanitizer does not model fences.
SANITIZE_asan := -fsanitize=address -fno-omit-frame-pointer
SANITIZE_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
SANITIZE_tsan := -fsanitize=thread -Wno-unknown-warning-option -Wno-tsan
C_ALL = -std=c11 $(WARNINGS) $(SANITIZE_$(SANITIZE)) $(CFLAGS)
CXX_ALL = $(WARNINGS) $(SANITIZE_$(SANITIZE)) $(CXXFLAGS)

# One program a source file; scripts (*.t) are run as they are.
EXAMPLE_SOURCES := $(filter-out $(if $(filter -DHAVE_NATS,$(OPTIONAL)),,\
	examples/tools/shmbridge.c),$(wildcard examples/*.c examples/*/*.c))
EXAMPLES := $(EXAMPLE_SOURCES:%.c=$(BUILD)/%)
TEST_PROGRAMS := $(patsubst %,$(BUILD)/%,$(basename \
	$(wildcard tests/test_*.c tests/test_*.cc tests/*/test_*.c)))
TESTS ?= $(TEST_PROGRAMS) $(wildcard tests/*.t)
# For sanitizers and qemu: the ring's own; what needs ptrace, or stacks of its
# own, is left out.
RING_TESTS := $(filter-out %/test_adapters %/test_crash \
	%/test_crash_broadcast %/test_sim,$(TEST_PROGRAMS))
# Nothing else is built for them.
ONLY_RING_TESTS = EXAMPLES= BENCH= $(foreach list,TEST_PROGRAMS TESTS,\
	$(list)='$(RING_TESTS:$(BUILD)/%=$(BUILD)/$@/%)')
# One program of all sources; a peer whose library is missing says so itself.
# Some of these are C++: without its compiler there is no bench.
BENCH := $(if $(shell command -v $(firstword $(CXX))),$(BUILD)/shmbench)
RUN_BENCH = $(call need,$(firstword $(CXX))); $(BENCH)
BENCH_OBJECTS := $(patsubst %,$(BUILD)/%.o,\
	$(wildcard bench/*.c bench/peers/*.c bench/peers/*.cc))

all: $(EXAMPLES) $(TEST_PROGRAMS) $(BENCH) ## build examples, tests and bench

$(BUILD)/%: %.c Makefile
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPP_ALL) $(C_ALL) $< $(LDFLAGS) $(LIBS) -o $@
$(BUILD)/%: %.cc Makefile
	$(call say,CXX,$@)
	@mkdir -p $(@D)
	$(Q)if command -v $(firstword $(CXX)) >/dev/null; then \
		$(CXX) $(CPP_ALL) $(CXX_ALL) $< $(LDFLAGS) $(LIBS) -o $@; \
	else \
		printf '%s\n' '#!/bin/sh' 'echo "1..0 # SKIP no $(CXX)"' \
			'exit $${REQUIRE_ALL:-0}' >$@; chmod +x $@; \
	fi
$(BUILD)/%.c.o: %.c Makefile
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPP_ALL) $(C_ALL) -c $< -o $@
$(BUILD)/%.cc.o: %.cc Makefile
	$(call say,CXX,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CPP_ALL) $(CXX_ALL) -c $< -o $@
$(BENCH): $(BENCH_OBJECTS)
	$(call say,LINK,$@)
	$(Q)$(if $(filter %.cc.o,$^),$(CXX),$(CC)) $(SANITIZE_$(SANITIZE)) \
		$(LDFLAGS) $^ $(LIBS) -o $@
# What is measured runs as it is used: peers check themselves without this.
$(BUILD)/bench/%.o: CPPFLAGS += -DNDEBUG
$(BUILD)/bench/system.c.o: CPPFLAGS += -DBENCH_FLAGS='"$(CFLAGS)"' \
	-DBENCH_COMMIT='"$(shell git rev-parse --short HEAD 2>/dev/null)"'
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

demo: $(BUILD)/examples/tools/shmcat ## stream a large file through both engines (DEMO_INPUT=)
	@examples/demo.sh $(DEMO_INPUT)
check: all ## build all, run every test
	@PROVEFLAGS='$(PROVEFLAGS)' tests/run.sh -e '$(RUNNER)' $(TESTS)
stress: all ## the tests, a minute each part (SECONDS_PER_TEST=)
	@SECONDS_PER_TEST=$${SECONDS_PER_TEST:-60} PROVEFLAGS= \
		tests/run.sh $(TESTS)
sim: $(BUILD)/tests/sim/test_sim ## simulate from a new seed (SECONDS=60 of CPU time)
	@seed=$$(date +%s%N); for memory in '' --tso; do \
		$< --shrink --seed $$seed --seconds $(or $(SECONDS),60) \
			$$memory || exit 1; \
	done
crash: ## kill and stop processes at every instruction
model: ## model-check the header (needs genmc)
mutants: ## weaken each fence and order: a test must fail for each
fuzz: ## feed arbitrary segments to the header
crash model mutants fuzz:
	@tests/$@/run.sh
# Three short repetitions of each row: some ten minutes.
bench: $(BENCH) ## all mechanisms side by side (BENCH_ARGS=)
	@$(RUN_BENCH) -r 3 -d 20ms -w 10ms $(BENCH_ARGS)
bench-quick: $(BENCH) ## the same in seconds, to see that it works
	@$(RUN_BENCH) --quick $(BENCH_ARGS)
bars: $(BENCH) $(BUILD)/bench/poll/bars ## what shmring wants to reach, and whether it does
	@$(RUN_BENCH) --bars $(BENCH_ARGS)
	@$(BUILD)/bench/poll/bars
limits: $(BENCH) ## what each mechanism takes before it is full
	@$(RUN_BENCH) --mode limits $(BENCH_ARGS)
summary: $(BENCH) ## a line a mechanism, as Markdown
	@$(call need,$(firstword $(CXX))); \
		BENCH_ARGS='$(BENCH_ARGS)' bench/summary.sh
plots: $(BENCH) ## the diagrams (needs gnuplot)
	@BENCH_ARGS='$(BENCH_ARGS)' bench/plots.sh
evidence: ## run the long tests, write tests/RESULTS.md (PART=storm: only that)
	@tests/evidence.sh $(PART)
asan: ## the tests under the address sanitizer
ubsan: ## the tests under the undefined-behaviour sanitizer
tsan: ## the tests under the thread sanitizer
# The thread sanitizer's address map does not stand every randomisation.
asan ubsan tsan:
	@$(MAKE) --no-print-directory check BUILD=$(BUILD)/$@ SANITIZE=$@ \
		$(ONLY_RING_TESTS) \
		RUNNER='$(if $(filter tsan,$@),$(shell setarch -R \
		true 2>/dev/null && echo setarch -R))'
# REQUIRE_ALL asks for the tools only: what qemu cannot do stays a skip.
arm64: ## the compiled tests under qemu-aarch64
riscv64: ## the compiled tests under qemu-riscv64
arm64 riscv64: cpu = $(subst arm64,aarch64,$@)
arm64 riscv64:
	@$(foreach tool,$(cpu)-linux-gnu-gcc $(cpu)-linux-gnu-g++ \
		qemu-$(cpu),$(call need,$(tool));) \
	$(MAKE) --no-print-directory check BUILD=$(BUILD)/$@ REQUIRE_ALL=0 \
		CC=$(cpu)-linux-gnu-gcc CXX=$(cpu)-linux-gnu-g++ \
		RUNNER='qemu-$(cpu) -L /usr/$(cpu)-linux-gnu' \
		$(ONLY_RING_TESTS)

# compiler_standard_level: the header in every dialect that it promises.
DIALECTS := $(foreach level,0 1 2 3,$(foreach compiler,gcc clang,\
	$(foreach standard,c11 c17 c2x,$(compiler)_$(standard)_$(level)))\
	$(foreach compiler,g++ clang++,$(foreach standard,11 14 17 20,\
	$(compiler)_c++$(standard)_$(level))))
cxx: $(DIALECTS:%=$(BUILD)/cxx/%.o) ## compile the header as C11 to C2x, C++11 to C++20
$(BUILD)/cxx/%.o: tests/test_header.c include/shmring.h include/shmring_poll.h \
		tests/tap.h Makefile
	$(call say,CXX,$*)
	@mkdir -p $(@D)
	$(Q)$(call need,$(word 1,$(subst _, ,$*))); $(word 1,$(subst _, ,$*)) \
		-x $(if $(findstring ++,$*),c++,c) -std=$(word 2,$(subst _, ,$*)) \
		-O$(word 3,$(subst _, ,$*)) -Iinclude $(WARNINGS) -c $< -o $@

FORMATTED = $(wildcard include/*.h include/*/*.h include/*/*/*.h $(foreach directory,\
	tests tests/* examples examples/* bench bench/*,$(directory)/*.[ch] $(directory)/*.cc))
lint: ## clang-format, cppcheck, clang-tidy, shellcheck
	@$(call need,clang-format); clang-format --dry-run -Werror $(FORMATTED)
	@$(call need,cppcheck); cppcheck --quiet --error-exitcode=1 --std=c11 \
		--inline-suppr --enable=warning,performance,portability \
		-Iinclude -Itests -D_GNU_SOURCE -D__LP64__ -D__x86_64__ -D__linux__ -DMAP_ANONYMOUS=32 \
		$(EXAMPLE_SOURCES) $(wildcard tests/test_*.c bench/*.c)
	@$(call need,clang-tidy); printf '%s\n' $(EXAMPLE_SOURCES) \
		tests/test_header.c | xargs -P2 -I@ clang-tidy --quiet \
		@ -- -std=c11 -Iinclude -Itests $(SYSTEM) -D_GNU_SOURCE 2>/dev/null
	@$(call need,shellcheck); shellcheck -x .ci/run examples/*.sh \
		examples/tools/completion/* \
		$(wildcard tests/*.t tests/*.sh tests/*/*.sh bench/*.sh)
format: ## clang-format -i
	@clang-format -i $(FORMATTED)
deps: ## apt-get install all that is optional
	@apt-get install -y --no-install-recommends perl g++ clang clang-format \
		clang-tidy cppcheck shellcheck gcc-aarch64-linux-gnu \
		g++-aarch64-linux-gnu libc6-dev-arm64-cross \
		gcc-riscv64-linux-gnu g++-riscv64-linux-gnu \
		libc6-dev-riscv64-cross qemu-user libck-dev \
		libtirpc-dev libzmq3-dev libnng-dev libnats-dev nats-server \
		libdpdk-dev libboost-dev libqb-dev \
		libreaderwriterqueue-dev libconcurrentqueue-dev libtbb-dev \
		libiceoryx-posh-dev libacl1-dev libclang-rt-14-dev pkg-config \
		cmake ninja-build meson python3 groff-base binutils \
		strace tmux gnuplot-nox valgrind

include include/package/rules.mk # install, uninstall, shared

clean: ## remove BUILD
	rm -rf $(BUILD)
help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile \
		include/package/rules.mk | sort | expand -t16

.DELETE_ON_ERROR:
.PHONY: all demo check stress sim crash model mutants fuzz evidence bench \
	bench-quick bars limits summary plots asan ubsan tsan arm64 riscv64 cxx lint format \
	deps clean help
