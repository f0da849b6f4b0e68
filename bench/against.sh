# Measures another revision of taskq beside this one; sourced by bench/run.
#
# A side is a build of taskq with a private server of its own: that of this checkout,
# and with --against that of a revision. Systems that use taskq are measured on both,
# in turn, and on the other side their names end in @REVISION. Both sides use the
# scenarios, the SQL and the drivers of this checkout.
# shellcheck shell=bash disable=SC2034

AGAINST=           # the revision as the user named it
REVISION=          # its commit
REVISION_FAILED=   # the reason why it cannot be measured

# The server of the side in use: its directory below $WORK, which is read by other files.
DATA=data

find_revision() { # revision
	command -v git >/dev/null || die "--against needs git"
	REVISION=$(git_here rev-parse --verify --quiet "$1^{commit}") || die "there is no revision $1"
}
git_here() { git -C "$TOP" -c safe.directory='*' "$@"; }

build_revision() {
	say "building $AGAINST" >&2
	make_tree tree_against
	mkdir "$WORK/src_against"
	git_here archive "$REVISION" | tar -C "$WORK/src_against" --no-same-owner -xf -
	make_and_install "$WORK/src_against"
}

use_side() { # system
	[ -n "$AGAINST" ] || return 0
	if [[ $1 = *@* ]]; then
		use_tree tree_against
		DATA=data_against
		export PGPORT=5433
	else
		use_tree tree
		DATA=data
		export PGPORT=5432
	fi
}

# Print a system, and its twin of the other side if it has one. They change places every
# round.
sides_of() { # system, round
	if [ -z "$AGAINST" ] || [ "$(store_of "$1")" != taskq ]; then
		echo "$1"
	elif (($2 % 2)); then
		printf '%s\n' "$1" "$1@$AGAINST"
	else
		printf '%s\n' "$1@$AGAINST" "$1"
	fi
}

# Have the report show the ratios.
target_sides() { # system ...
	local system
	[ -n "$AGAINST" ] || return 0
	for system; do
		[ "$(store_of "$system")" != taskq ] || target "$system" "$system@$AGAINST" '>=' -
	done
}
