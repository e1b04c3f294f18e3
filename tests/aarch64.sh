#!/usr/bin/env bash
# The kernels' tests on AArch64, emulated, and the same bits there as here: `bash tests/aarch64.sh`.
# It wants a linker for AArch64, QEMU's user-mode emulator and Rust's standard library for that target:
#     apt-get install gcc-aarch64-linux-gnu qemu-user
#     rustup target add aarch64-unknown-linux-gnu
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"

cargo clippy --target $target --all-features -- -D warnings
cargo test --release --target $target --lib --test golden --test gradients
# The test of all instruction sets starts itself again, which the emulator cannot do.
cargo test --release --target $target --test same_bits -- --skip any_instruction_set

# A level and each case's bits a line, by the test that prints them for another process.
bits() {
    UNISONO_TEST_CHILD=1 cargo test --quiet --release "$@" --test same_bits -- \
        print_bits --exact --nocapture | grep -E '^(level|bits)='
}
here=$(bits)
there=$(bits --target $target)
head -n 1 <<<"$there" | grep -x level=neon
grep -q '^bits=' <<<"$there"
diff <(grep '^bits=' <<<"$here") <(grep '^bits=' <<<"$there")
echo "the same bits as on $(head -n 1 <<<"$here"): $(grep -c '^bits=' <<<"$there") trained models"
