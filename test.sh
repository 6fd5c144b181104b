#!/usr/bin/env bash
# Everything that must hold before a change is merged: formatting, lints, all tests against real
# servers, documentation. Needs Rust; as root it installs what else is missing (Node, Python,
# LemonLDAP::NG, nginx, nghttpd, haproxy), and otherwise says what to install. Asks nothing, needs no terminal.
set -euo pipefail
cd "$(dirname "$0")"
exec </dev/null

main() {
  install_system_packages
  step "install the test servers" e2e/servers/install.sh
  step "formatting" cargo fmt --all --check
  step "formatting of the peers bench" cargo fmt --manifest-path bench/peers/Cargo.toml --check
  step "lints" cargo clippy --workspace --all-targets --all-features -- -D warnings
  # Without the test features, as it is installed.
  step "lints of the release" cargo clippy -p authkeeper-cli -- -D warnings
  # The binary with its fault points, where the end-to-end tests look for it.
  step "build" cargo build --workspace --all-targets --all-features
  step "tests" run_tests
  step "fuzz targets, briefly" fuzz_briefly
  step "documentation's examples" cargo test --workspace --all-features --doc
  step "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features
  echo "all passed in $SECONDS s"
}

step() {
  local name="$1" start="$SECONDS"
  shift
  echo "== $name"
  "$@" || {
    echo "== $name: FAILED after $((SECONDS - start)) s" >&2
    exit 1
  }
  echo "== $name: $((SECONDS - start)) s"
}

run_tests() {
  if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --all-features
  else
    cargo test --workspace --exclude e2e --all-features --lib --bins --tests
    # Each of these starts servers and processes of its own.
    cargo test -p e2e --all-features --lib --tests -- --test-threads=2
  fi
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
