# SPDX-License-Identifier: MIT
# What the Makefile includes to install the header and all that goes with it,
# and to build the library for languages that cannot include it.

VERSION := $(subst $() ,.,$(shell sed -n \
	's/^\#define SHMRING_VERSION_[MP].* //p' include/shmring.h))
INSTALLED = $(DESTDIR)$(PREFIX)
# Each tool that can be built, with its man page and completion.
ALL_TOOLS := $(basename $(notdir $(wildcard examples/tools/*.c)))
TOOLS := $(filter $(ALL_TOOLS),$(basename $(notdir $(EXAMPLE_SOURCES))))
FILL = sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|'

install: $(TOOLS:%=$(BUILD)/examples/tools/%) ## header, adapters and tools into PREFIX
	install -d $(addprefix $(INSTALLED)/,bin include lib/pkgconfig \
		lib/cmake/shmring share/man/man1 \
		share/bash-completion/completions)
	install -m 755 $^ $(INSTALLED)/bin
	install -m 644 include/shmring.h include/shmring_poll.h \
		$(INSTALLED)/include
	for header in $(patsubst include/%,%,$(wildcard include/*/*.h \
		include/*/*/*.h)); do install -D -m 644 include/$$header \
		$(INSTALLED)/include/shmring/$$header || exit; done
	for tool in $(TOOLS); do \
		test ! -e examples/tools/man/$$tool.1 || install -m 644 \
		examples/tools/man/$$tool.1 $(INSTALLED)/share/man/man1 || exit; \
		test ! -e examples/tools/completion/$$tool || install -m 644 \
		examples/tools/completion/$$tool \
		$(INSTALLED)/share/bash-completion/completions || exit; \
	done
	$(FILL) include/package/shmring.pc.in \
		>$(INSTALLED)/lib/pkgconfig/shmring.pc
	install -m 644 include/package/shmring-config.cmake \
		$(INSTALLED)/lib/cmake/shmring
	$(FILL) include/package/shmring-config-version.cmake.in \
		>$(INSTALLED)/lib/cmake/shmring/shmring-config-version.cmake

# All calls, for other languages. A symbol has the version of the interface,
# and so has a program that is linked to it: while the major one is 0, another
# minor one is another interface, and the loader says so.
SERIES = $(word 1,$(subst ., ,$(VERSION))).$(word 2,$(subst ., ,$(VERSION)))
SONAME = libshmring.so.$(word 1,$(subst ., ,$(VERSION)))
LIBRARY = libshmring.so.$(VERSION)
shared: $(BUILD)/libshmring.so ## libshmring.so, for other languages
$(BUILD)/$(LIBRARY): include/shmring_poll.h include/shmring.h \
		include/package/rules.mk
	$(call say,CC,$@)
	@mkdir -p $(@D)
	@echo 'SHMRING_$(SERIES) { global: shmring_*; local: *; };' >$@.map
	$(Q)$(CC) -DSHMRING_SHARED $(CPPFLAGS) $(C_ALL) -shared -fPIC \
		-fvisibility=hidden -x c $< -x none $(LDFLAGS) \
		-Wl,--version-script=$@.map,-soname,$(SONAME) $(LDLIBS) -o $@
$(BUILD)/libshmring.so: $(BUILD)/$(LIBRARY)
	@ln -sf $(LIBRARY) $(BUILD)/$(SONAME)
	@ln -sf $(SONAME) $@
install-shared: shared ## libshmring.so and shmring.py into PREFIX
	install -d $(INSTALLED)/lib $(INSTALLED)/share/shmring
	install -m 755 $(BUILD)/$(LIBRARY) $(INSTALLED)/lib
	ln -sf $(LIBRARY) $(INSTALLED)/lib/$(SONAME)
	ln -sf $(SONAME) $(INSTALLED)/lib/libshmring.so
	install -m 644 examples/shmring.py $(INSTALLED)/share/shmring

uninstall: ## remove what install and install-shared put there
	rm -rf $(addprefix $(INSTALLED)/,include/shmring.h \
		include/shmring_poll.h include/shmring \
		lib/pkgconfig/shmring.pc lib/cmake/shmring lib/libshmring.so* \
		share/shmring $(ALL_TOOLS:%=bin/%) \
		$(ALL_TOOLS:%=share/man/man1/%.1) \
		$(ALL_TOOLS:%=share/bash-completion/completions/%))

.PHONY: install install-shared shared uninstall
