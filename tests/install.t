#!/bin/sh
# Description: small projects, each built in another way, against what make
# install puts into place; and make uninstall leaves nothing
# shellcheck source=tests/tap.sh
. tests/tap.sh

unset MAKEFLAGS MFLAGS # who runs us may have others
source=$PWD
prefix=$tmp/prefix
stage=$tmp/stage
project=$tmp/project
version=$(sed -n 's/^#define SHMRING_VERSION_[MP].* //p' include/shmring.h |
	paste -sd. -)
series=${version%.*}

# have TOOL WHAT: or a skip
have()
{
	command -v "$1" >/dev/null || {
		skip "no $1: $2"
		return 1
	}
}

# attempt WHAT COMMAND...: passes when it succeeds, else shows what it printed
attempt()
{
	what=$1
	shift
	timeout -k 5 600 "$@" >"$tmp/log" 2>&1 # compilers take their time
	status=$?
	ok $status "$what"
	[ $status = 0 ] || sed 's/^/#   /' "$tmp/log" | tail -n 40
	return $status
}

# runs WHAT PROGRAM: built against this version, it moves a message
runs()
{
	is "$($limit "$2" 2>&1)" "hello from $version" "$1: the program works"
}

# The project: strict, with a system header in front, two units.
mkdir "$project"
cat >"$project/main.c" <<'END'
#include <stdio.h>
#include <shmring.h>
int adapters(void);
int main(void)
{
	struct shmring ring;
	char text[8];
	if (shmring_create_memfd(&ring, NULL) ||
	    shmring_push(&ring, "hello", 6) ||
	    shmring_pop(&ring, text, sizeof(text)) != 6 || !adapters())
		return 1;
	printf("%s from %d.%d.%d\n", text, SHMRING_VERSION_MAJOR,
	       SHMRING_VERSION_MINOR, SHMRING_VERSION_PATCH);
	return shmring_close(&ring);
}
END
cat >"$project/adapters.c" <<'END'
#define _GNU_SOURCE
#include <adapters/pipe.h>
int adapters(void);
int adapters(void)
{
	return sizeof(struct adapter_pipe) > 0;
}
END
cat >"$project/main.cc" <<'END'
#include <cstdio>
#include <shmring.h>
int main()
{
	shmring ring;
	char text[8];
	if (shmring_create_memfd(&ring, nullptr) ||
	    shmring_push(&ring, "hello", 6) ||
	    shmring_pop(&ring, text, sizeof(text)) != 6)
		return 1;
	std::printf("%s from %d.%d.%d\n", text, SHMRING_VERSION_MAJOR,
		    SHMRING_VERSION_MINOR, SHMRING_VERSION_PATCH);
	return shmring_close(&ring);
}
END

# cmake_project NAME LANGUAGES SOURCES LINE...: configured and built in
# $project/NAME/build
cmake_project()
{
	name=$1
	languages=$2
	sources=$3
	shift 3
	mkdir "$project/$name"
	{
		echo 'cmake_minimum_required(VERSION 3.14)'
		echo "project(user LANGUAGES $languages)"
		printf '%s\n' 'set(CMAKE_C_STANDARD 11)' \
			'set(CMAKE_C_EXTENSIONS OFF)' "$@"
		for unit in $sources; do
			echo "list(APPEND units \"$project/$unit\")"
		done
		echo "add_executable(user \${units})"
		echo 'target_link_libraries(user PRIVATE shmring::shmring)'
	} >"$project/$name/CMakeLists.txt"
	attempt "CMake, $name: configured" cmake -S "$project/$name" \
		-B "$project/$name/build" -DCMAKE_PREFIX_PATH="$prefix" &&
		attempt "CMake, $name: built" \
			cmake --build "$project/$name/build"
	runs "CMake, $name" "$project/$name/build/user"
}

# Put into place, once beneath DESTDIR.
attempt "make install" make install DESTDIR= PREFIX="$prefix"
attempt "make install with DESTDIR" make install DESTDIR="$stage" PREFIX=/opt/x
is "$(cd "$prefix/include" && find . -name '*.h' -printf '%f\n' | sort)" \
	"$(find include -name '*.h' -printf '%f\n' | sort)" \
	"every header is installed"
is "$(cd "$stage/opt/x" && find . | sort)" "$(cd "$prefix" && find . | sort)" \
	"the same beneath DESTDIR"
is "$(grep -rlF "$tmp" "$stage")" "" "whose name is in no file"

# pkg-config, and what is built on it
if have pkg-config "nothing is built with it"; then
	PKG_CONFIG_PATH=$prefix/lib/pkgconfig
	export PKG_CONFIG_PATH
	is "$(pkg-config --modversion shmring)" "$version" \
		"shmring.pc has the version of the header"
	flags=$(pkg-config --cflags --libs shmring)
	# shellcheck disable=SC2086 # a list of flags
	attempt "pkg-config, strict C11: built" "${CC:-cc}" -std=c11 -Wall \
		-Wextra -Wpedantic -Werror "$project/main.c" \
		"$project/adapters.c" $flags -o "$tmp/user"
	runs "pkg-config, strict C11" "$tmp/user"
	# shellcheck disable=SC2086
	attempt "pkg-config: the quick start builds" "${CC:-cc}" -O2 \
		examples/quickstart.c $flags -o "$tmp/quickstart"
	if have "${CXX:-c++}" "no C++ is built"; then
		# shellcheck disable=SC2086
		attempt "pkg-config, strict C++11: built" "${CXX:-c++}" \
			-std=c++11 -Wall -Wextra -Wpedantic -Werror \
			"$project/main.cc" $flags -o "$tmp/user.cc"
		runs "pkg-config, strict C++11" "$tmp/user.cc"
	fi
	is "$(PKG_CONFIG_PATH=$stage/opt/x/lib/pkgconfig pkg-config \
		--variable=includedir shmring)" /opt/x/include \
		"shmring.pc does not know of DESTDIR"
	if have meson "no project of it is built"; then
		mkdir "$project/meson"
		cp "$project"/*.c "$project/meson"
		cat >"$project/meson/meson.build" <<END
project('user', 'c', default_options: ['c_std=c11', 'werror=true'])
shmring = dependency('shmring', version: '>=$series')
executable('user', 'main.c', 'adapters.c', dependencies: shmring)
END
		attempt "Meson: configured" meson setup "$project/meson/build" \
			"$project/meson" &&
			attempt "Meson: built" meson compile -C \
				"$project/meson/build"
		runs "Meson" "$project/meson/build/user"
	fi
fi

if have cmake "nothing is built with it"; then
	cxx=
	! have "${CXX:-c++}" "no C++ is built with CMake" || cxx=CXX
	cmake_project find_package C "main.c adapters.c" \
		"find_package(shmring $series REQUIRED)"
	cmake_project add_subdirectory C "main.c adapters.c" \
		"add_subdirectory($source/include shmring)"
	[ -z $cxx ] || cmake_project FetchContent $cxx main.cc \
		'include(FetchContent)' \
		"FetchContent_Declare(shmring SOURCE_DIR $source SOURCE_SUBDIR include)" \
		'FetchContent_MakeAvailable(shmring)'
	[ -z $cxx ] || cmake_project find_package-C++ $cxx main.cc \
		"find_package(shmring $version EXACT REQUIRED)"
	# The version file alone decides.
	for wanted in "$version" "$series" "$series.99" "99" "0.0.9"; do
		echo "set(PACKAGE_FIND_VERSION $wanted)
include($prefix/lib/cmake/shmring/shmring-config-version.cmake)
message(\"$wanted \${PACKAGE_VERSION_COMPATIBLE}\")"
	done >"$tmp/versions.cmake"
	is "$(cmake -P "$tmp/versions.cmake" 2>&1 | paste -sd, -)" \
		"$version TRUE,$series TRUE,$series.99 FALSE,99 FALSE,0.0.9 FALSE" \
		"CMake: another version is refused"
fi

# Tools with what belongs to them
for tool in "$prefix"/bin/*; do
	name=${tool##*/}
	page=$prefix/share/man/man1/$name.1
	completion=$prefix/share/bash-completion/completions/$name
	attempt "$name is installed and works" "$tool" --help
	grep -oE -- '--[a-z][a-z-]+' "$tmp/log" | sort -u >"$tmp/options"
	is "$(sed 's/\\-/-/g' "$page" | grep -oE -- '--[a-z][a-z-]+' |
		sort -u | comm -23 "$tmp/options" -)" "" \
		"$name.1 has all options that --help has"
	if have groff "$name.1 is not checked"; then
		is "$(groff -man -ww -z -Tutf8 "$page" 2>&1)" "" \
			"$name.1 is without mistakes"
	fi
	if have bash "no completion"; then
		# shellcheck disable=SC2016 # for that shell
		is "$(bash -c '. "$1"; COMP_WORDS=("$2" --); COMP_CWORD=1
			"$(complete -p "$2" | sed "s/.*-F \([^ ]*\).*/\1/")" "$2"
			printf "%s\n" "${COMPREPLY[@]%=}"' - "$completion" \
			"$name" 2>&1 | sort -u | comm -23 "$tmp/options" -)" \
			"" "completion of $name has them all, too"
	fi
done
if have bash "no completion of rings"; then
	printf 'shmring1' >"/dev/shm$ring-made"
	printf 'nothing' >"/dev/shm$ring-other"
	# shellcheck disable=SC2016
	is "$(bash -c '. "$1"; COMP_WORDS=(shmcat -r "$2"); COMP_CWORD=2
		_shmcat; printf "%s\n" "${COMPREPLY[@]}"' - \
		"$prefix/share/bash-completion/completions/shmcat" "$ring")" \
		"$ring-made" "rings are completed, other files are not"
	rm -f "/dev/shm$ring"-*
fi

# And away. What others have there stays.
attempt "make install-shared" make install-shared DESTDIR= PREFIX="$prefix"
echo 'int shmring_unlink(const char *); int main(void)
{ return shmring_unlink("/no/name") >= 0; }' >"$tmp/linked.c"
attempt "the library: linked" "${CC:-cc}" "$tmp/linked.c" -L "$prefix/lib" \
	-lshmring -o "$tmp/linked"
LD_LIBRARY_PATH=$prefix/lib attempt "and it works" "$tmp/linked"
echo other >"$prefix/bin/other"
attempt "make uninstall" make uninstall DESTDIR= PREFIX="$prefix"
attempt "make uninstall with DESTDIR" make uninstall DESTDIR="$stage" \
	PREFIX=/opt/x
is "$(find "$prefix" "$stage" ! -type d -o -name '*shmring*')" \
	"$prefix/bin/other" "nothing is left but what others have there"
done_testing
