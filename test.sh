#!/usr/bin/env bash
# Everything that must hold before a change is merged: formatting, lints, all tests against real
# servers, documentation. It ends with the seconds of each step and of the slowest test binaries.
#
#   ./test.sh       what CI runs; what can run for hours, it runs briefly
#   ./test.sh all   also the ignored tests, longer trials, a long simulation, every mutation, the benchmarks
#
# Needs Rust; as root it installs what else is missing (Node, Python,
# LemonLDAP::NG, nginx, nghttpd, haproxy), and otherwise says what to install. Asks nothing, needs no terminal.
set -euo pipefail
cd "$(dirname "$0")"
exec </dev/null

# "SECONDS NAME" of each step that has ended.
times=()

main() {
  local extent="${1:-quick}"
  case "$#/$extent" in
    0/quick | 1/all) ;;
    *)
      sed -n 's/^#   //p' test.sh >&2
      exit 64
      ;;
  esac
  # A report of an earlier run is not this run's.
  rm -f target/nextest/default/junit.xml
  trap print_times EXIT
  install_system_packages
  step "install the test servers" e2e/servers/install.sh
  step "formatting" cargo fmt --all --check
  step "formatting of the peers bench" cargo fmt --manifest-path bench/peers/Cargo.toml --check
  step "lints" cargo clippy --workspace --all-targets --all-features -- -D warnings
  # Without the test features, as it is installed.
  step "lints of the release" cargo clippy -p authkeeper-cli -- -D warnings
  # The binary with its fault points, where the end-to-end tests look for it.
  step "build" cargo build --workspace --all-targets --all-features
  step "tests" run_tests "$extent"
  step "fuzz targets, briefly" fuzz_briefly
  step "documentation's examples" cargo test --workspace --all-features --doc
  step "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features
  if [ "$extent" = all ]; then run_the_long_ones; fi
  echo "all passed in $SECONDS s"
}

step() {
  local name="$1" start="$SECONDS"
  shift
  echo "== $name"
  "$@" || {
    times+=("$((SECONDS - start)) $name (FAILED)")
    echo "== $name: FAILED after $((SECONDS - start)) s" >&2
    exit 1
  }
  times+=("$((SECONDS - start)) $name")
  echo "== $name: $((SECONDS - start)) s"
}

# Runs at the end, after a failure too.
print_times() {
  [ "${#times[@]}" -gt 0 ] || return 0
  echo
  echo "seconds  step"
  local line
  for line in "${times[@]}"; do
    printf '%7d  %s\n' "${line%% *}" "${line#* }"
  done
  print_slowest_binaries target/nextest/default/junit.xml
}

# print_slowest_binaries FILE: the ten test binaries whose tests took the longest, added up; tests run side by side, so
# the sum is more than the time of the step. Nothing without the report that nextest writes.
print_slowest_binaries() {
  [ -f "$1" ] || return 0
  echo
  echo "seconds  tests  test binary (the ten slowest)"
  awk '
    /<testcase / {
      if (!match($0, / classname="[^"]*"/)) next
      binary = substr($0, RSTART + 12, RLENGTH - 13)
      if (!match($0, / time="[^"]*"/)) next
      seconds[binary] += substr($0, RSTART + 7, RLENGTH - 8)
      tests[binary]++
    }
    END { for (binary in seconds) printf "%7.0f  %5d  %s\n", seconds[binary], tests[binary], binary }
  ' "$1" | sort -rn | awk 'NR <= 10'
}

run_tests() {
  local extent="$1" more=()
  if [ "$extent" = all ]; then
    more=(--run-ignored all)
    # Trials that are short by default; each stays below its limit in .config/nextest.toml.
    export AUTHKEEPER_TRIAL_SECONDS="${AUTHKEEPER_TRIAL_SECONDS:-120}" AUTHKEEPER_TRIALS="${AUTHKEEPER_TRIALS:-200}"
    # All clients of docs/refresh-scenarios.md, not a sample.
    export ALL_CLIENTS=1
  fi
  if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --all-features "${more[@]}"
  elif [ "$extent" = all ]; then
    echo "test.sh: all needs nextest: cargo install cargo-nextest --locked" >&2
    return 1
  else
    cargo test --workspace --exclude e2e --all-features --lib --bins --tests
    # Each of these starts servers and processes of its own.
    cargo test -p e2e --all-features --lib --tests -- --test-threads=2
  fi
}

# What a change rarely needs: hours, most of them for the mutations, each of which is built.
run_the_long_ones() {
  step "simulation, 100,000 schedules" cargo run --release -p simulation -- --schedules 100000
  step "every mutation" cargo run -p breaks
  step "build for the benchmarks" cargo build --release -p authkeeper-cli
  step "benchmarks" cargo bench -p authkeeper-bench
}

# A workspace of its own, in the same target folder: what is built already is not built again.
fuzz_briefly() {
  # `step` tests its result, and `set -e` does not hold in what is tested.
  cargo fmt --manifest-path verify/fuzz/Cargo.toml --check &&
    cargo clippy --manifest-path verify/fuzz/Cargo.toml --target-dir target --all-targets -- -D warnings &&
    cargo test --manifest-path verify/fuzz/Cargo.toml --target-dir target --tests
}

install_system_packages() {
  local missing=()
  command -v cc >/dev/null || missing+=(gcc libc6-dev)
  command -v npm >/dev/null || missing+=(nodejs npm)
  command -v python3 >/dev/null || missing+=(python3)
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  # LemonLDAP::NG, one of the authorization servers of the end-to-end tests.
  mapfile -t -O "${#missing[@]}" missing < <(missing_packages e2e/servers/lemonldap-packages.txt)
  # The servers of the corporate network of the end-to-end tests.
  mapfile -t -O "${#missing[@]}" missing < <(missing_packages e2e/servers/network-packages.txt)
  [ "${#missing[@]}" -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "test.sh: please install: ${missing[*]}" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  step "apt-get update" apt-get update --quiet
  step "install ${missing[*]}" apt-get install --quiet --yes --no-install-recommends "${missing[@]}"
}

# missing_packages FILE: those of its packages that Debian's package manager does not have installed.
missing_packages() {
  local package
  while read -r package; do
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
      echo "$package"
  done <"$1"
}

main "$@"
