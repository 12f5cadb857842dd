#!/bin/sh
# Description: libshmring.so exports every call of the interface, each with
# the version of it, and nothing else; what is linked to another one's does
# not start
# shellcheck source=tests/tap.sh
. tests/tap.sh

unset MAKEFLAGS MFLAGS # who runs us may have others
library=$tmp/build/libshmring.so
version=$(sed -n 's/^#define SHMRING_VERSION_[MP].* //p' include/shmring.h |
	paste -sd. -)
node=SHMRING_${version%.*}

make shared BUILD="$tmp/build" >"$tmp/log" 2>&1
ok $? "make shared"
is "$(readlink -f "$library")" "$tmp/build/libshmring.so.$version" \
	"the file has the version of the header"

# What the interface declares, whatever it says in front: the names before a
# parenthesis, up to the next section, but for comments and indented lines.
awk '/^ \* [A-Z][A-Z, ]*$/ { inside = /INTERFACE/ } inside' \
	include/shmring.h include/shmring_poll.h |
	sed 's,/\*.*\*/,,; /\/\*/,/\*\//d; /^#/d; /^ \*/d' |
	grep -oE '^([A-Za-z].*[^A-Za-z0-9_])?shmring_[a-z][a-z0-9_]*\(' |
	grep -oE 'shmring_[a-z0-9_]+\($' | tr -d '(' | sort -u >"$tmp/declared"
[ "$(wc -l <"$tmp/declared")" -ge 33 ]
ok $? "the interface has at least the calls that it had"

if command -v nm >/dev/null; then
	nm -D --defined-only "$library" >"$tmp/symbols"
	awk '$2 == "T" { print $3 }' "$tmp/symbols" | sort >"$tmp/exported"
	is "$(cat "$tmp/exported")" \
		"$({ cat "$tmp/declared" && echo shmring_handle_size; } |
			sort | sed "s/\$/@@$node/")" \
		"all of them are exported, and how large a handle is"
	is "$(awk '$2 != "T" { print $3 }' "$tmp/symbols")" "$node" \
		"and nothing else"
	is "$(objdump -p "$library" | awk '/SONAME/ { print $2 }')" \
		"libshmring.so.${version%%.*}" "its soname has the major version"
else
	skip "no nm: the symbols are not looked at"
fi

# Another language: no header, the handle is so much memory.
cat >"$tmp/other.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
extern size_t shmring_handle_size(void);
extern int shmring_create_memfd(void *, const void *), shmring_close(void *);
extern int shmring_push(void *, const void *, size_t);
extern ssize_t shmring_pop_wait(void *, void *, size_t, long);
int main(void)
{
	void *ring = malloc(shmring_handle_size());
	char text[8] = "";
	if (!ring || shmring_create_memfd(ring, NULL) ||
	    shmring_push(ring, "hello", 6) ||
	    shmring_pop_wait(ring, text, sizeof(text), 0) != 6)
		return 1;
	printf("%s, %d\n", text, shmring_close(ring));
	free(ring);
	return 0;
}
END
${CC:-cc} "$tmp/other.c" -L "$tmp/build" -lshmring -o "$tmp/other"
ok $? "a program without the header is linked to it"
LD_LIBRARY_PATH=$tmp/build
export LD_LIBRARY_PATH
is "$($limit "$tmp/other" 2>&1)" "hello, 0" "and moves a message"

# The same library as that of another interface.
sed "s/^#define SHMRING_VERSION_MINOR .*/#define SHMRING_VERSION_MINOR 99/" \
	include/shmring.h >"$tmp/shmring.h"
cmp -s "$tmp/shmring.h" include/shmring.h
is $? 1 "a header of another interface"
mkdir -p "$tmp/tree/include" && cp -R Makefile "$tmp/tree" &&
	cp -R include/package "$tmp/tree/include" &&
	cp "$tmp/shmring.h" include/shmring_poll.h "$tmp/tree/include" &&
	make -C "$tmp/tree" shared BUILD="$tmp/build99" >"$tmp/log" 2>&1
ok $? "gives a library"
LD_LIBRARY_PATH=$tmp/build99
$limit "$tmp/other" >"$tmp/out" 2>&1
is "$? $(grep -c "version \`$node' not found" "$tmp/out")" "1 1" \
	"with which the program does not start, and is told why"
done_testing
