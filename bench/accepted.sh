# The accepted figures of instructions and WAL, in bench/README.md; sourced by bench/run.
# shellcheck shell=bash

ACCEPTED_BEGIN='<!-- made by bench/run instructions --accept -->'
ACCEPTED_END='<!-- end of what bench/run made -->'
ACCEPTED_GROWTH=5 # percent by which a path may grow

# Figures can be compared only where the same instructions run: the server is the same
# package, the compiler and libc have the same version, and callgrind shows the same CPU
# to them, because libc chooses its functions by that.
comparable() {
	printf '%s, gcc %s, glibc %s, %s, %s%s\n' "$("$BIN/postgres" --version | sed 's/.*(PostgreSQL) */PostgreSQL /')" \
		"$(gcc -dumpfullversion)" "$(getconf GNU_LIBC_VERSION | sed 's/.* //')" "$(valgrind --version)" "$(uname -m)" \
		"$(! grep -qw avx2 /proc/cpuinfo || echo ' with AVX2')"
}

# Print the table of paths and systems from results.csv.
accepted_table() {
	printf '%s\n' "${PATHS[@]}" | awk -F'|' '
		function number(n,  s) {
			for (s = ""; n >= 1000; n = int(n / 1000)) s = sprintf(",%03d", n % 1000) s
			return int(n) s
		}
		FNR == NR { path[++paths] = $0; next }
		$1 != "instructions" || $6 == "" { next }
		{ if (!($4 in seen)) { seen[$4]; system_[++systems] = $4 } }
		sub(/, instructions$/, "", $3) { instructions[$3, $4] = $6 }
		sub(/, WAL bytes$/, "", $3) { wal[$3, $4] = $6 }
		END {
			printf "| path |"; for (i = 1; i <= systems; i++) printf " %s |", system_[i]
			printf "\n|---|"; for (i = 1; i <= systems; i++) printf "---:|"
			print ""
			for (p = 1; p <= paths; p++) {
				line = ""; found = 0
				for (i = 1; i <= systems; i++)
					if ((path[p], system_[i]) in instructions) {
						found = 1
						line = line " " number(instructions[path[p], system_[i]]) " / " number(wal[path[p], system_[i]]) " |"
					} else
						line = line " |"
				if (found) print "| " path[p] " |" line
			}
		}' - "$OUT/results.csv"
}

# Write the table into bench/README.md.
accept_figures() {
	local doc=$TOP/bench/README.md
	{ grep -qxF -- "$ACCEPTED_BEGIN" "$doc" && grep -qxF -- "$ACCEPTED_END" "$doc"; } || die "bench/README.md has no place for the table"
	! grep '^instructions|[^|]*|[^|]*|taskq|[^|]*||' "$OUT/results.csv" >&2 || die "some figures failed, so the table stays as it was"
	{ printf '\nMade with %s:\n\n' "$(comparable)"; accepted_table; echo; } >"$WORK/accepted"
	awk -v begin="$ACCEPTED_BEGIN" -v end="$ACCEPTED_END" -v table="$WORK/accepted" '
		$0 == end { skip = 0 }
		!skip
		$0 == begin { skip = 1; while ((getline line < table) > 0) print line }' "$doc" >"$WORK/README"
	cat "$WORK/README" >"$doc"
	say "bench/README.md: the accepted figures are those of this run; read them with git diff" >&2
}

# Print the reason why the figures of this machine cannot be compared with the table.
not_comparable() {
	local made_with
	made_with=$(awk -v begin="$ACCEPTED_BEGIN" -v end="$ACCEPTED_END" '
		$0 == begin { inside = 1 }
		$0 == end { inside = 0 }
		inside && sub(/^Made with /, "") && sub(/:$/, "")' "$TOP/bench/README.md")
	[ "$(comparable)" = "$made_with" ] || say "the accepted figures were made with ${made_with:-nothing}, and this is $(comparable)"
}

# Compare the figures of taskq with the table. Prints "ok" and "not ok" lines.
check_figures() {
	awk -F'|' -v begin="$ACCEPTED_BEGIN" -v end="$ACCEPTED_END" -v growth="$ACCEPTED_GROWTH" '
		FNR == NR && $0 == begin { inside = 1 }
		FNR == NR && $0 == end { inside = 0 }
		FNR == NR && inside && $2 ~ /^ [a-z]/ {
			gsub(/^ | $/, "", $2); gsub(/[ ,]/, "", $3); split($3, f, "/")
			accepted[$2 ", instructions"] = f[1]; accepted[$2 ", WAL bytes"] = f[2]
		}
		FNR == NR { next }
		$4 != "taskq" { next }
		$6 == "" { print "not ok - " $3 ": " $7; failed = 1; next }
		!/, (instructions|WAL bytes)\|/ { next }
		!($3 in accepted) { print "not ok - " $3 ": no accepted figure"; failed = 1; next }
		{
			grown = ($6 > accepted[$3] * (1 + growth / 100))
			printf "%s - %s: %d, accepted %d (%+.1f %%)\n", grown ? "not ok" : "ok", $3, $6, accepted[$3], ($6 / accepted[$3] - 1) * 100
			failed = failed || grown; n++
		}
		END { exit failed || !n }' "$TOP/bench/README.md" "$OUT/results.csv"
}
