#!/bin/sh
# Plants the bugs of testdata/planted in a copy of the repository, one at a time, and has the oracle find
# them: prints how many cases each took. Usage: ./planted.sh [CASES [SEED]]
set -eu
cases=${1:-2000}
seed=${2:-1}
here=$(cd "$(dirname "$0")" && pwd)
root=$(git -C "$here" rev-parse --show-toplevel)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
git -C "$root" archive HEAD | tar -x -C "$work/src"
(cd "$here" && go build -o "$work/oracle" .)
missed=0
printf '%-28s %s\n' bug 'found in case'
for patch in "$here"/testdata/planted/*.patch; do
	name=$(basename "$patch" .patch)
	(cd "$work/src" && git apply "$patch" && go build -o "$work/labctl" "${LABCTL_PACKAGE:-./cmd/labctl}")
	(cd "$here" && "$work/oracle" -n "$cases" -seed "$seed" -no-shrink -keep "$work/kept" -labctl "$work/labctl") >"$work/out" 2>&1 || true
	found=$(sed -n 's/^case [0-9a-f]*, number \([0-9]*\):.*/\1/p' "$work/out" | head -1)
	printf '%-28s %s\n' "$name" "${found:-NOT FOUND in $cases}"
	[ -n "$found" ] || { missed=1; tail -3 "$work/out"; }
	(cd "$work/src" && git apply -R "$patch")
done
exit $missed
