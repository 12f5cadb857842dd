#!/bin/sh
# Description: two translation units in one program, of strict C11 and, where
# there is a compiler, C++; no symbol of the header leaks out of either; other
# targets than 64-bit little-endian ones are refused; one error at a time
# shellcheck source=tests/tap.sh
. tests/tap.sh

flags="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -O1 -Iinclude"

cat >"$tmp/first.c" <<'END'
#include <shmring.h>
int second_unit(struct shmring *ring);
int third_unit(struct shmring *ring);
char memory[200000]; /* beside what a unit keeps for itself */
int main(void)
{
	struct shmring ring;
	char text[8];

	if (shmring_create_memfd(&ring, NULL) || second_unit(&ring) ||
	    shmring_pop(&ring, text, sizeof(text)) != 6)
		return 1;
	shmring_close(&ring);
	/* What one unit has closed, the other may close again. */
	if (second_unit(&ring) != -EBADF || third_unit(&ring))
		return 2;
	memset(memory, 1, sizeof(memory));
	return second_unit(&ring) != -EBADF;
}
END
cat >"$tmp/second.c" <<'END'
#include <shmring.h>
#include <stddef.h>
#include <shmring.h>
#ifdef __cplusplus
extern "C" {
#endif
int second_unit(struct shmring *ring);
int third_unit(struct shmring *ring);
int second_unit(struct shmring *ring)
{
	return shmring_push(ring, "second", 6);
}
int third_unit(struct shmring *ring)
{
	return shmring_close(ring);
}
#ifdef __cplusplus
}
#endif
END

# link WHAT OBJECT...: into one program, which must work
link()
{
	what=$1
	shift
	${CC:-cc} "$@" -o "$tmp/program" && $limit "$tmp/program"
	ok $? "$what: two units work together"
}

# A unit that is loaded, closes a ring and goes leaves nothing that points to it.
cat >"$tmp/loads.c" <<'END'
#include <shmring.h>
#include <dlfcn.h>
int main(int argc, char **argv)
{
	struct shmring ring;
	void *unit = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
	int (*close_it)(struct shmring *);

	if (!unit || shmring_create_memfd(&ring, NULL))
		return 1;
	*(void **)&close_it = dlsym(unit, "third_unit");
	if (!close_it || close_it(&ring) || dlclose(unit))
		return 2;
	return shmring_close(&ring) || shmring_push(&ring, "", 1) != -EBADF;
}
END
${CC:-cc} -Iinclude -shared -fPIC "$tmp/second.c" -o "$tmp/second.so" &&
	${CC:-cc} -Iinclude "$tmp/loads.c" -ldl -o "$tmp/loads" &&
	$limit "$tmp/loads" "$tmp/second.so"
ok $? "a unit may be loaded, close a ring and be gone"

# Other targets, as far as this compiler has them: the first only pretends. The
# preprocessor is enough, and needs none of the target's headers.
cat >"$tmp/other.c" <<'END'
#if defined(__LP64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#error
#endif
END
echo '#include <shmring.h>' >"$tmp/alone.c"
for target in -U__LP64__ -m32 -mx32 -mabi=ilp32 -mbig-endian; do
	${CC:-cc} $target -E "$tmp/other.c" >"$tmp/out" 2>&1 || continue
	! ${CC:-cc} $target -Iinclude -E "$tmp/alone.c" >"$tmp/out" 2>&1 &&
		grep -q 'error.*shmring.h needs a 64-bit' "$tmp/out"
	ok $? "refused, with a reason: $target"
done

# Strict C that has met a system header already: one error, not a flood.
printf '#include <stdio.h>\n#include <shmring.h>\n' >"$tmp/late.c"
${CC:-cc} -std=c11 -Iinclude -fsyntax-only "$tmp/late.c" >"$tmp/out" 2>&1
is "$(grep ': error' "$tmp/out" | sed 's/.*compile with //')" \
	'-D_DEFAULT_SOURCE"' "one error says what to do"
${CC:-cc} -std=c11 -D_DEFAULT_SOURCE -Iinclude -fsyntax-only "$tmp/late.c"
ok $? "and that helps"

# Programs have macros of such names; system headers stand them as well.
{
	for name in unused noinline cold always_inline; do
		echo "#define $name a macro of the program"
	done
	cat "$tmp/second.c"
} >"$tmp/macros.c"
# shellcheck disable=SC2086 # a list of flags
${CC:-cc} -std=c11 $flags -c "$tmp/macros.c" -o "$tmp/macros.o"
ok $? "macros named like attributes do no harm"

for unit in first second; do
	# shellcheck disable=SC2086 # a list of flags
	${CC:-cc} -std=c11 $flags -c "$tmp/$unit.c" -o "$tmp/$unit.o"
	ok $? "strict C11 compiles the $unit unit"
done
link "C and C" "$tmp/first.o" "$tmp/second.o"
is "$(nm "$tmp/second.o" | awk '$2 ~ /[A-TV-Z]/ && $2 != "U" { print $NF }')" \
	"second_unit
third_unit" "nothing else is visible from outside"
if command -v "${CXX:-c++}" >/dev/null; then
	# shellcheck disable=SC2086
	${CXX:-c++} -x c++ -std=c++11 $flags -c "$tmp/second.c" \
		-o "$tmp/second.o"
	ok $? "strict C++11 compiles it, too"
	# shellcheck disable=SC2086
	${CXX:-c++} -x c++ -std=c++11 $flags -Wold-style-cast \
		-c "$tmp/second.c" -o "$tmp/casts.o"
	ok $? "quietly, where old casts are frowned upon"
	if command -v clang++ >/dev/null; then
		# shellcheck disable=SC2086
		clang++ -x c++ -std=c++11 $flags -Wold-style-cast \
			-c "$tmp/second.c" -o "$tmp/casts.o"
		ok $? "also by clang, to whom extern \"C\" is no excuse"
	else
		skip "no clang++"
	fi
	link "C and C++" "$tmp/first.o" "$tmp/second.o"
else
	skip "no C++ compiler: no mixed program"
fi
done_testing
