#!/usr/bin/env bash
# Starts job, after a look at what it needs: `start_job.sh --help`. It needs nothing but itself and the binary.
set -euo pipefail

usage() {
  cat <<'USAGE'
start_job.sh [--yes] [JOB'S OPTIONS…]

Prints the configuration, looks whether Kafka and the Comets listen on their ports, builds the binary if it is missing,
and becomes job: all other arguments and the environment are job's (see job --help).

  --yes   start without asking when Kafka is not reachable (so too when standard input is no terminal)

The binary is job beside this script, job in the folder above, or target/release/job; JOB_BIN names another one.
USAGE
}

yes=false
args=()
for arg; do
  case $arg in
  --yes) yes=true ;;
  -h | --help) usage && exit ;;
  *) args+=("$arg") ;;
  esac
done
case ${args[0]:-run} in
run | -*) ;;
*)
  echo "start_job.sh: error: '${args[0]}' is not for a start; run job itself: job ${args[*]}" >&2
  exit 2
  ;;
esac

green='' red='' yellow='' bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
  green=$'\e[32m' red=$'\e[31m' yellow=$'\e[33m' bold=$'\e[1m' plain=$'\e[0m'
fi

# ---- The configuration, as job reads it: flags win over the environment, that over the file, that over defaults.

# flag NAME: its value on the command line, or nothing
flag() {
  local i
  for ((i = 0; i < ${#args[@]}; i++)); do
    case ${args[i]} in
    "--$1") echo "${args[i + 1]:-}" && return ;;
    "--$1="*) echo "${args[i]#*=}" && return ;;
    esac
  done
}

# in_file KEY: its value in the file, a list with commas, or nothing. job itself reads the file thoroughly, and says what
# is wrong with it.
in_file() {
  [ -f "$file" ] || return 0
  awk -v key="$1" '
    !found && $0 ~ "^[ \t]*" key "[ \t]*=" { found = 1; sub(/^[^=]*=/, ""); list = /^[ \t]*\[/ }
    found { sub(/[ \t]*#.*/, ""); text = text $0; if (!list || /\]/) exit }
    END { gsub(/[][ \t"\047]/, "", text); sub(/,$/, "", text); print text }' "$file"
}

# setting NAME DEFAULT
setting() {
  local variable value
  variable=JOB_${1^^}
  variable=${variable//-/_}
  value=$(flag "$1")
  value=${value:-${!variable:-}}
  value=${value:-$(in_file "$1")}
  echo "${value:-$2}"
}

file=$(flag config)
file=${file:-${JOB_CONFIG:-job.toml}}
brokers=$(setting brokers localhost:9092)
comets=$(setting comet localhost:50051)

echo "${bold}chatroom job${plain}"
printf '  %-10s %s\n' Kafka "$brokers" topic "$(setting topic my-topic)" group "$(setting group my_consumer_group)" \
  Comet "$comets" workers "$(setting threads 4)" log "${MUDUO_LOG_LEVEL:-INFO}"
[ ! -f "$file" ] || printf '  %-10s %s\n' file "$file"

# ---- What is there

# listens ADDRESS
listens() {
  local host=${1%:*} port=${1##*:}
  host=${host#[} host=${host%]}
  # shellcheck disable=SC2016 # the inner shell expands it
  timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$host" "$port" 2>/dev/null
}

# are_addresses LIST: is it host:port,host:port? What is wrong with another one, job says itself, and better.
are_addresses() {
  local one='[[:space:]]*([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}[[:space:]]*'
  LC_ALL=C
  [[ $1 =~ ^$one(,$one)*$ ]]
}

# look NAME ADDRESSES: a line for each; fails when none of them listens
look() {
  local address any=1
  if ! (are_addresses "$2"); then
    echo "  ${red}✗ $1 $2: not host:port,host:port${plain}"
    misspelt=true
    return
  fi
  local -a list
  IFS=, read -ra list <<<"$2"
  for address in "${list[@]}"; do
    address=${address//[[:space:]]/}
    if listens "$address"; then
      echo "  ${green}✓ $1 $address is there${plain}"
      any=0
    else
      echo "  ${red}✗ $1 $address does not answer${plain}"
    fi
  done
  return "$any"
}

echo
kafka=true misspelt=false
look Kafka "$brokers" || kafka=false
look Comet "$comets" || echo "    ${yellow}job starts all the same, and holds the messages until a Comet answers${plain}"
if $misspelt; then
  # job ends at once, and says what to write.
  kafka=true
fi
if ! $kafka; then
  echo "    ${yellow}job starts all the same, and keeps trying until Kafka answers${plain}"
  if ! $yes && [ -t 0 ]; then
    answer=
    read -rp "  Start without Kafka? [y/N] " answer || true
    case $answer in
    [yY]*) ;;
    *) echo "  Not started." && exit 1 ;;
    esac
  fi
fi

# ---- The binary

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
project=$(dirname "$here")
binary=
for candidate in "${JOB_BIN:-}" "$here/job" "$project/job" "${CARGO_TARGET_DIR:-$project/target}/release/job"; do
  [ -n "$candidate" ] || continue
  binary=$candidate
  if [ -f "$candidate" ] && [ -x "$candidate" ]; then break; fi
  if [ "$candidate" = "${JOB_BIN:-}" ]; then
    echo "start_job.sh: error: JOB_BIN names $candidate, which is not a program" >&2
    exit 1
  fi
done
if [ ! -x "$binary" ]; then
  if [ ! -f "$project/Cargo.toml" ] || ! command -v cargo >/dev/null; then
    echo "start_job.sh: error: there is no job in $here or $project, and it can't be built here" >&2
    echo "  put the binary beside this script, or name it in JOB_BIN, or install Rust beside the sources" >&2
    exit 1
  fi
  echo "  building $binary (the first time, gRPC's core is compiled, which takes some minutes)"
  cargo build --release --locked --bin job --manifest-path "$project/Cargo.toml"
fi
echo "  starting $binary"
echo
unset JOB_BIN
exec "$binary" "${args[@]}"
