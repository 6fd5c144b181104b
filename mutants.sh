#!/usr/bin/env bash
# Mutation testing: changes one thing of the source at a time and looks whether a test goes red. A command, not a part
# of test.sh: it takes from minutes to an hour. What survives is killed by a new test or argued in docs/mutants.md.
#
#   ./mutants.sh decide|classify|model|refresh|claim|explorer [more arguments of cargo mutants]
#
# It works on a copy, so the tree may be edited meanwhile. The first pass runs the unit tests nearest to what is mutated,
# the second runs all unit tests of the crate against what survived. A run takes up what earlier ones left: delete
# target/mutants/PART/mutants.out to start afresh.
set -euo pipefail
cd "$(dirname "$0")"

main() {
  command -v cargo-mutants >/dev/null || {
    echo "mutants.sh: please install it: cargo install cargo-mutants --locked" >&2
    exit 1
  }
  local part="${1:-}" source=crates/authkeeper/src
  shift || true
  case "$part" in
    decide) survive authkeeper refresh::decide "$@" -f "$source/refresh/decide.rs" ;;
    classify) survive authkeeper oauth:: "$@" -f "$source/oauth/classify.rs" ;;
    model) survive authkeeper model:: "$@" -f "$source/model/*.rs" ;;
    refresh)
      survive authkeeper refresh:: "$@" -f "$source/refresh/*.rs" \
        -e "$source/refresh/decide.rs" -e "$source/refresh/claim.rs" -e "$source/refresh/spill.rs"
      ;;
    claim) survive authkeeper refresh:: "$@" -f "$source/refresh/claim.rs" -f "$source/refresh/spill.rs" ;;
    explorer) survive model "" "$@" -f "model/src/*.rs" ;;
    *)
      sed -n 's/^#   //p' "$0" >&2
      exit 64
      ;;
  esac
}

# Exits non-zero when a mutant survives both passes.
survive() {
  local package="$1" near="$2"
  shift 2
  export CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR="$PWD/target/mutants/build"
  if [ -n "$near" ] && mutate "$package" "$near" "$@"; then
    return
  fi
  mutate "$package" "" "$@"
}

mutate() {
  local package="$1" near="$2" tests=--lib
  shift 2
  [ "$package" = model ] && tests=--tests
  cargo mutants --package "$package" --iterate --output "target/mutants/$part" --minimum-test-timeout 60 \
    --colors never --no-times --cargo-arg "$tests" "$@" -- $near
}

main "$@"
