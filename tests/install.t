#!/bin/sh
# Description: a program builds against what make install puts into place,
# and make uninstall leaves nothing
# shellcheck source=tests/tap.sh
. tests/tap.sh

prefix=$tmp/prefix
make --no-print-directory install PREFIX="$prefix" >"$tmp/log" 2>&1
ok $? "make install"
pc=$prefix/lib/pkgconfig/shmring.pc
is "$(grep -cE '^Version: [0-9]+\.[0-9]+\.[0-9]+$' "$pc")" 1 \
	"shmring.pc has the version of the header"
if command -v pkg-config >/dev/null; then
	flags=$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --cflags shmring)
	# shellcheck disable=SC2086 # a list of flags
	${CC:-cc} -O2 $flags examples/quickstart.c -o "$tmp/quickstart" 2>"$tmp/log"
	ok $? "the quick start builds with pkg-config's flags"
	printf '#include <adapters/pipe.h>\n' >"$tmp/adapter.c"
	# shellcheck disable=SC2086
	${CC:-cc} -D_GNU_SOURCE $flags -c "$tmp/adapter.c" -o "$tmp/adapter.o"
	ok $? "and an adapter"
else
	skip "no pkg-config: the quick start is not built"
	skip "no pkg-config: no adapter is built"
fi
make --no-print-directory uninstall PREFIX="$prefix" >/dev/null
is "$(find "$prefix" -type f)" "" "make uninstall leaves no file"
done_testing
