# shellcheck shell=bash
# What the scripts of this folder share. To be sourced, after `set -euo pipefail`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export root
self=$(basename "$0")
# Where rustup puts it, for shells that haven't been told.
command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin

say() { printf '%s: %s\n' "$self" "$*" >&2; }

# die MESSAGE [HINT]: what went wrong, and what to do about it.
die() {
  say "error: $1"
  [ -z "${2:-}" ] || printf '%s\n' "  $2" >&2
  exit 1
}

# listening HOST PORT: does anything accept connections there?
# shellcheck disable=SC2016 # the inner shell expands it
listening() { timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null; }

# A port of 127.0.0.1 that nothing listens on. It is taken below the range from which the kernel hands out ports
# for outgoing connections, so that a broker which was stopped finds its port free when it comes back. The end-to-end tests
# take theirs below 25000.
free_port() {
  local port
  for _ in $(seq 100); do
    port=$((25000 + (RANDOM * 32768 + RANDOM) % 7000))
    if ! listening 127.0.0.1 "$port"; then
      echo "$port"
      return
    fi
  done
  die "found no free port between 25000 and 32000 in 100 tries"
}

# is_number TEXT LOW HIGH
is_number() { [[ $1 =~ ^[0-9]{1,9}$ ]] && ((10#$1 >= $2 && 10#$1 <= $3)); }

# java_major: the version of the Java that would run, 0 when there is none.
java_major() {
  local version
  version=$("$(java_command)" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p;T;q') || true
  echo "${version:-0}"
}

java_command() { echo "${JAVA_HOME:+$JAVA_HOME/bin/}java"; }
