#!/usr/bin/env bash
# Mutation testing: changes one thing of the source at a time and looks whether a test goes red. A command, not a part
# of test.sh: it takes from minutes to hours. What survives is killed by a new test or argued in docs/mutants.md.
#
#   verify/mutation/mutants.sh decide|model|classify|refresh|transaction|explorer [more arguments of cargo mutants]
#   verify/mutation/mutants.sh gateway [signin_link|server|forward|alerts|mcp|check|rest] [more arguments of cargo mutants]
#
# It works on a copy, so the tree may be edited meanwhile. decide and model name little but themselves: they are put in
# a crate of their own, in which a mutant costs a second, and only their own tests count. Elsewhere a first pass runs the
# tests nearest to what is mutated, a second one all unit tests of the crate against what survived, a third one the
# simulation against what survived that. Of gateway its own unit tests alone decide. A run takes up what earlier ones
# left: delete target/mutants/PART to start afresh. Nextest ends a run at the first red test, and a test that
# a mutant makes hang after 10 s (.config/nextest.toml).
set -euo pipefail
cd "$(dirname "$0")/../.."
source=crates/authkeeper/src

main() {
  command -v cargo-mutants >/dev/null || {
    echo "mutants.sh: please install it: cargo install cargo-mutants --locked" >&2
    exit 1
  }
  cargo nextest --version >/dev/null 2>&1 || {
    echo "mutants.sh: please install it: cargo install cargo-nextest --locked" >&2
    exit 1
  }
  local part="${1:-}"
  shift || true
  mkdir -p "target/mutants/$part"
  # Two that build in one folder would test each other's mutants.
  exec 9>target/mutants/lock
  flock --nonblock 9 || {
    echo "mutants.sh: another one is at work" >&2
    exit 75
  }
  case "$part" in
    decide) alone "$@" -f "src/refresh/decide/*.rs" ;;
    model) alone "$@" -f "src/model/*.rs" ;;
    classify) survive authkeeper oauth:: -- -f "$source/oauth/classify.rs" "$@" ;;
    refresh) refresh "$@" ;;
    transaction) transaction "$@" ;;
    gateway) gateway "$@" ;;
    explorer) survive model -- -f "verify/model/src/*.rs" "$@" ;;
    *)
      sed -n 's/^#   //p' verify/mutation/mutants.sh >&2
      exit 64
      ;;
  esac
}

# The decisions and the model as a crate.
alone() {
  local pure=target/mutants/pure
  rm -rf "$pure"
  mkdir -p "$pure/src/refresh" "$pure/src/text"
  cp -r "$source/model" "$source/secret.rs" "$pure/src"
  cp -r "$source/refresh/decide" "$pure/src/refresh"
  cp "$source/text/hex.rs" "$pure/src/text"
  printf '%s\n' 'pub mod model;' 'pub mod secret;' 'pub mod refresh { pub mod decide; }' \
    'pub mod text { pub mod hex; }' >"$pure/src/lib.rs"
  {
    printf '%s\n' '[package]' 'name = "pure"' 'edition = "2024"' '[workspace]' '[dependencies]'
    # The same versions and features as in the workspace.
    grep -E '^(jiff|serde|serde_json|sha2|thiserror|zeroize) = ' Cargo.toml
  } >"$pure/Cargo.toml"
  cp Cargo.lock "$pure"
  mutate --dir "$pure" "$@"
}

# Each file with the tests nearest to it.
refresh() {
  local missed=0
  of circuit_breaker circuit_breaker -- "$@" || missed=1
  of decision_log decision_log outcomes::a_lost -- "$@" || missed=1
  of single_flight flights:: bounds:: parts:: outcomes::an_outage -- "$@" || missed=1
  of scheduler scheduler bounds:: -- "$@" || missed=1
  of context parts:: bounds:: outcomes::an_outage -- "$@" || missed=1
  of rules parts:: bounds:: -- "$@" || missed=1
  of orphaned_journals forgotten:: -- "$@" || missed=1
  of verify_response checked -- "$@" || missed=1
  of outcome_probe evidence -- "$@" || missed=1
  of observe noticing -- "$@" || missed=1
  of reply_archive reply_archive:: second_chances forgotten:: -- "$@" || missed=1
  return "$missed"
}

# The transaction and its journal.
transaction() {
  local files=() file
  for file in transaction attempt recover steps journal unkept_replies "conclude/*"; do
    files+=(-f "$source/refresh/$file.rs")
  done
  survive authkeeper refresh::tests:: journal:: -- "${files[@]}" "$@"
}

# The crate authkeeper-gateway: one area of it, or each in turn.
gateway() {
  local areas=(signin_link server forward alerts mcp check rest) missed=0 area
  for area in "${areas[@]}"; do
    if [ "${1:-}" = "$area" ]; then
      shift
      gateway_area "$area" "$@"
      return
    fi
  done
  for area in "${areas[@]}"; do
    gateway_area "$area" "$@" || missed=1
  done
  return "$missed"
}

gateway_area() {
  local area="$1" part="gateway-$1" own=crates/authkeeper-gateway/src
  shift
  case "$area" in
    # The files that are in no folder, such as token_source.rs; the tests of all areas may use them.
    rest) survive authkeeper-gateway -- -f "$own/*.rs" "$@" ;;
    *) survive authkeeper-gateway "$area::" -- -f "$own/$area/**/*.rs" "$@" ;;
  esac
}

of() {
  local part="refresh-$1" file="$1"
  shift
  local near=()
  while [ "$1" != "--" ]; do
    near+=("$1")
    shift
  done
  shift
  survive authkeeper "${near[@]}" -- -f "$source/refresh/$file.rs" "$@"
}

# PACKAGE TEST… -- ARGUMENT…: exits non-zero when a mutant survives both passes.
survive() {
  local package="$1" near=()
  shift
  while [ "$1" != "--" ]; do
    near+=("$1")
    shift
  done
  shift
  export NEXTEST_PROFILE=mutants
  local what=(--package "$package" --test-tool nextest --cargo-arg=--lib)
  # Built once, run some hundred times.
  local quick
  for quick in libsqlite3-sys chacha20 poly1305 sha2; do
    what+=("--cargo-arg=--config=profile.dev.package.$quick.opt-level=2")
  done
  if [ "$package" = model ]; then what=(--package model --test-tool nextest --cargo-arg=--tests); fi
  if [ "${#near[@]}" -gt 0 ] && mutate "${what[@]}" "$@" -- -- "${near[@]}"; then
    return
  fi
  mutate "${what[@]}" "$@" && return
  [ "$package" = authkeeper ] || return 1
  # What no unit test sees, the simulation may.
  mutate --package authkeeper --test-package simulation --test-tool nextest "$@"
}

mutate() {
  CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR="$PWD/target/mutants/build" \
    cargo mutants --iterate --output "target/mutants/$part" --minimum-test-timeout 60 --colors never --no-times "$@"
}

main "$@"
exit
