# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables of who sources this
#
# What run.sh and sim/power.sh share: the headers of $tree become those of $root,
# one of them changed as a row of mutants.txt says.

trim() {
	local text=$1
	text=${text#"${text%%[! ]*}"}
	printf '%s' "${text%"${text##*[! ]}"}"
}

# The header with one text of one function (- for all of the file) replaced, or
# several, with %% between them; in the add-on, if the function is defined there.
# White space is as good as any other. shmring__blind is a
# compare-and-swap that stores in any case.
mutate() {
	local header=shmring.h
	cp "$root"/include/shmring*.h "$tree/include"
	grep -q "^$1(" "$root/include/shmring_poll.h" && header=shmring_poll.h
	perl -0777 -e '
		my ($file, $function, $from, $to) = @ARGV;
		open(my $in, "<", $file) or die;
		my $all = <$in>;
		my ($start, $body) = (0, $all);
		if ($function ne "-") {
			$all =~ /^\Q$function\E\(.*?^\}/ms
				or die "no function $function\n";
			($start, $body) = ($-[0], $&);
		}
		my $size = length($body);
		my @to = split(/ %% /, $to, -1);
		for my $one (split(/ %% /, $from)) {
			my $text = join("\\s+",
				map { quotemeta } split(" ", $one));
			$text =~ s/\\\(/\\(\\s*/g;
			my @found = $body =~ /$text/g;
			@found == 1 or die "$function: found " . @found .
				" times instead of once: $one\n";
			my $new = shift(@to);
			$body =~ s/$text/$new/;
		}
		substr($all, $start, $size) = $body;
		print "#define shmring__blind(place, from, to) ({ " .
			"__typeof__(to) was = from; " .
			"if (!__atomic_compare_exchange_n(place, &was, to, " .
			"0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) " .
			"__atomic_store_n(place, to, __ATOMIC_RELEASE); " .
			"1; })\n";
		print $all;
	' "$root/include/$header" "$@" >"$tree/include/$header"
}

# The next mutant's fields, and the header changed by it.
mutant() {
	IFS=@ read -r name function from to killers reason <<<"$1"
	name=$(trim "$name")
	reason=$(trim "$reason")
	mutate "$(trim "$function")" "$(trim "$from")" "$(trim "$to")" || {
		echo "$name: mutants.txt does not fit the header" >&2
		return 1
	}
}
