#!/usr/bin/env bash
# Runs every fuzz target, one after another: tests/fuzz/run.sh SECONDS [TARGET…]
#
# Needs a nightly compiler and cargo-fuzz. New inputs go to tests/fuzz/corpus/TARGET, what breaks a promise to
# tests/fuzz/artifacts/TARGET. AIEMP_FUZZ_MEMORY_MB bounds a target's memory (2048), CARGO_TARGET_DIR says where to
# build (tests/fuzz/target). Ends with 1 if a target broke.
set -euo pipefail
seconds=${1:-}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "usage: tests/fuzz/run.sh SECONDS [TARGET…]" >&2; exit 2; }
shift
cd "$(dirname "$0")"
target_dir=${CARGO_TARGET_DIR:-$PWD/target}
# Our crates forbid unsafe code, so the address sanitizer would only slow this down.
fuzz() { cargo +nightly fuzz "$1" --fuzz-dir . --sanitizer none --target-dir "$target_dir" "${@:2}"; }

fuzz build
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list --fuzz-dir .)
broken=()
for target in "${targets[@]}"; do
    echo "== $target, $seconds s"
    mkdir -p "corpus/$target"
    fuzz run "$target" "corpus/$target" -- -max_total_time="$seconds" -max_len=8192 -timeout=10 \
        -rss_limit_mb="${AIEMP_FUZZ_MEMORY_MB:-2048}" -print_final_stats=1 || broken+=("$target")
done
[ "${#broken[@]}" -eq 0 ] || { echo "broken: ${broken[*]}"; exit 1; }
echo "no target broke"
