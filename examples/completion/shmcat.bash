# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Completion of shmcat for bash: options, policies, and the rings of this
# machine.

_shmcat_rings()
{
	local file magic
	for file in /dev/shm/*; do
		magic=
		[ -f "$file" ] && IFS= read -r -d '' -n 8 magic <"$file"
		[ "$magic" = shmring1 ] && printf '/%s\n' "${file##*/}"
	done 2>/dev/null
}

_shmcat()
{
	local word=${COMP_WORDS[COMP_CWORD]}
	local before=${COMP_WORDS[COMP_CWORD - 1]}
	if [ "$word" = = ]; then # of --option=
		word=
	elif [ "$before" = = ]; then # and what follows
		before=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	case $before in
	-r | -w | -u | --read | --write | --unlink)
		mapfile -t COMPREPLY < <(compgen -W "$(_shmcat_rings)" -- "$word")
		;;
	-p | --policy)
		mapfile -t COMPREPLY < <(compgen -W "spin block hybrid" -- "$word")
		;;
	-[WRcst] | --writers | --readers | --capacity | --size | --timeout)
		COMPREPLY=()
		;;
	*)
		mapfile -t COMPREPLY < <(compgen -W "-r -w -u -l -m -W -R -c -s -p
			-t -h --read= --write= --unlink= --lines --mpmc
			--writers= --readers= --capacity= --size= --policy=
			--timeout= --help" -- "$word")
		[[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace 2>/dev/null
		;;
	esac
	return 0
}

complete -F _shmcat shmcat
