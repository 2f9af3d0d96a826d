#!/usr/bin/env bash
# Every check of the repository: format, lints, documentation, tests, dependencies.
#   ./test.sh          what a change must pass
#   ./test.sh --all    the slow tests as well
# The last line counts: a failed step other than the tests counts as one failure, `skipped:` lines as one skip each.
set -euo pipefail
cd "$(dirname "$0")"
case "${1:-}" in
    "") ;;
    --all) export AIEMP_TEST_ALL=1 ;;
    *) echo "usage: ./test.sh [--all]" >&2; exit 2 ;;
esac

work=$(mktemp -d)
export AIEMP_TEST_SKIPS="$work/skips" # tests append their reasons here: runners hide what a passing test prints
touch "$AIEMP_TEST_SKIPS"
passed=0 failed=0 failed_steps=()

skip() { echo "skipped: $*" | tee -a "$AIEMP_TEST_SKIPS"; }

finish() {
    local code=$?
    [ "$code" -eq 0 ] || [ "${#failed_steps[@]}" -gt 0 ] || { failed_steps=(test.sh); failed=$((failed + 1)); }
    [ "${#failed_steps[@]}" -eq 0 ] || echo "failed: ${failed_steps[*]}"
    echo "== skipped"
    cat "$AIEMP_TEST_SKIPS"
    local skipped
    skipped=$(grep -c . "$AIEMP_TEST_SKIPS" || true)
    rm -rf "$work"
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "${#failed_steps[@]}" -eq 0 ] || exit 1
}
trap finish EXIT

# step NAME COMMAND...: runs it, tells the seconds, goes on after a failure.
step() {
    local name=$1 start=$SECONDS before=$failed
    shift
    echo "== $name"
    if "$@"; then
        echo "-- $name: ok, $((SECONDS - start)) s"
    else
        echo "-- $name: FAILED, $((SECONDS - start)) s"
        failed_steps+=("$name")
        [ "$failed" -gt "$before" ] || failed=$((failed + 1))
    fi
}

install_packages() {
    local missing=()
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    command -v openssl >/dev/null || missing+=(openssl)
    command -v systemd-analyze >/dev/null || missing+=(systemd)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        skip "not installed, and not root on Debian to do so: ${missing[*]}"
    elif ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$work/apt" 2>&1; then
        skip "apt-get could not install ${missing[*]}: $(tail -n 1 "$work/apt")"
    fi
}

install_python() {
    if ! cmp -s tests/requirements.txt .venv/installed; then
        if ! { rm -rf .venv && python3 -m venv .venv && .venv/bin/pip install --quiet --disable-pip-version-check \
            --requirement tests/requirements.txt && cp tests/requirements.txt .venv/installed; } >"$work/pip" 2>&1; then
            skip "tests/requirements.txt could not be installed: $(tail -n 1 "$work/pip")"
            return 0
        fi
    fi
    export AIEMP_TEST_PYTHON="$PWD/.venv/bin/python"
}

# Mail servers beside which mails come in. They are for the tests alone: as services they are neither started nor enabled.
install_mail_servers() {
    local missing=() policy=/usr/sbin/policy-rc.d
    command -v dovecot >/dev/null || missing+=(dovecot-imapd)
    command -v postfix >/dev/null || missing+=(postfix)
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        skip "not installed, and not root on Debian to do so: ${missing[*]}"
        return 0
    fi
    [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && touch "$work/policy"; }
    if { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$work/apt" 2>&1; then
        systemctl disable dovecot postfix >"$work/apt" 2>&1 || true
    else
        skip "apt-get could not install ${missing[*]}: $(tail -n 1 "$work/apt")"
    fi
    [ ! -e "$work/policy" ] || rm -f "$policy"
}

run_tests() {
    local log="$work/tests" status=0
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --workspace --locked --no-fail-fast --color never 2>&1 | tee "$log" || status=1
        count "$log" '^ *Summary \[' passed 'failed|timed out|exec failed'
    else
        cargo test --workspace --all-targets --locked --no-fail-fast --color never 2>&1 | tee "$log" || status=1
        count "$log" '^test result:' passed failed
    fi
    if grep -rqE '^ *//[/!] *```(rust|no_run|should_panic|compile_fail)?$' --include='*.rs' keys protocol crdt node; then
        cargo test --workspace --doc --locked --no-fail-fast --color never 2>&1 | tee "$log" || status=1
        count "$log" '^test result:' passed failed
    fi
    return "$status"
}

# count LOG LINES PASSED FAILED: adds up the numbers before these words on a runner's summary lines.
count() {
    passed=$((passed + $({ grep -E "$2" "$1" || true; } | numbers_before "$3")))
    failed=$((failed + $({ grep -E "$2" "$1" || true; } | numbers_before "$4")))
}

numbers_before() { { grep -oE "[0-9]+ ($1)" || true; } | awk '{ sum += $1 } END { print sum + 0 }'; }

# Whether what compares us with other syncs can say no.
check_judge() {
    python3 -B -m unittest discover tests/bench/peers '*_test.py' 2>&1 | tee "$work/judge"
    passed=$((passed + $(grep -oE '^Ran [0-9]+' "$work/judge" | cut -d' ' -f2)))
}

check_dependencies() {
    skip "advisories: their database is fetched from the network, run 'cargo deny check advisories' by hand"
    if cargo deny --version >/dev/null 2>&1; then
        cargo deny --locked check bans licenses sources
    else
        skip "cargo-deny is not installed"
    fi
}

step packages install_packages
step "mail servers" install_mail_servers
step python install_python
step format cargo fmt --all --check
step clippy cargo clippy --workspace --all-targets --locked -- -D warnings
step documentation env RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --locked --quiet
step tests run_tests
step judge check_judge
step dependencies check_dependencies
