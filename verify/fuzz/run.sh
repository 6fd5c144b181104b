#!/usr/bin/env bash
# Fuzzes one target with libFuzzer for some seconds: verify/fuzz/run.sh TARGET [SECONDS]
# Needs a C++ compiler and nothing else: the stable toolchain instruments too. What it finds on the way goes to
# target/fuzz/TARGET; a case at which the target fails is named at the end.
set -euo pipefail
cd "$(dirname "$0")"
target="${1:?which target? $(ls fuzz_targets | sed 's/\.rs$//' | tr '\n' ' ')}"
seconds="${2:-60}"
build="$PWD/../../target/fuzz"
found="$build/$target"
mkdir -p "$found"
host="$(rustc -vV | sed -n 's/^host: //p')"
# As cargo-fuzz does it, without the sanitizers that only a nightly has: nothing here is unsafe.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares" \
  cargo build --release --features libfuzzer --target "$host" --target-dir "$build" --bin "$target"
exec "$build/$host/release/$target" -max_total_time="$seconds" -timeout=10 -max_len=16384 \
  -artifact_prefix="$found/" "$found" "corpus/$target"
