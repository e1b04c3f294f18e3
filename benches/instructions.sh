#!/usr/bin/env bash
# Counts the instructions of training steps and compares them with instructions.txt: a check that a
# busy machine does not disturb. Steps are counted as the difference of a long and a short run, at
# AVX2, since valgrind knows no AVX-512. Counts hold for one version of rustc: with another one they
# are printed and nothing is demanded. What AVX-512's tiles owe to multiply-adds with an operand from
# memory (src/simd/embedded.rs) hangs on the compiler making them: 2,648 with rustc 1.95, and 2,000 are
# demanded of any.
#
#   benches/instructions.sh            compare
#   benches/instructions.sh --update   write instructions.txt anew
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
expected="$here/instructions.txt"
tolerance=2 # percent
# Workload, steps of the short and of the long run. Batches are of equal rows, so steps are alike.
runs=("iris 20 220" "policy 2 12" "fashion_small 1 3" "tabular 1 2")

command -v valgrind >/dev/null || { echo "needs valgrind: apt-get install valgrind" >&2; exit 1; }
cd "$here/.."
cargo build --quiet --release -p unisono-benches --bin one_step
program=${CARGO_TARGET_DIR:-target}/release/one_step
embedded='vfmadd231ps -?(0x[0-9a-f]+)?\(%r[a-z0-9]+\)\{1to16\}' # no index in the address
if [ "$(uname -m)" = x86_64 ]; then
    command -v objdump >/dev/null || { echo "needs objdump: apt-get install binutils" >&2; exit 1; }
    found=$(objdump -d --no-show-raw-insn "$program" | grep -cE "$embedded" || true)
    echo "$found multiply-adds with an operand from memory"
    [ "$found" -ge 2000 ] || { echo "too few: see src/simd/embedded.rs" >&2; exit 1; }
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

count() { # workload steps -> instructions of the whole process
    UNISONO_SIMD=avx2 valgrind --tool=callgrind --callgrind-out-file="$scratch/$1-$2" \
        "$program" "$1" "$2" >"$scratch/out" 2>&1 || { cat "$scratch/out" >&2; exit 1; }
    awk '/^summary:/ { print $2 }' "$scratch/$1-$2"
}

rustc=$(rustc --version)
arch=$(uname -m)
echo "rustc: $rustc" >"$scratch/found"
echo "arch: $arch" >>"$scratch/found"
for run in "${runs[@]}"; do
    read -r workload short long <<<"$run"
    first=$(count "$workload" "$short")
    second=$(count "$workload" "$long")
    echo "$workload: $(((second - first) / (long - short)))" >>"$scratch/found"
done

if [ "${1:-}" = --update ]; then
    cp "$scratch/found" "$expected"
    cat "$expected"
    exit
fi
awk -F': ' -v tolerance="$tolerance" '
    FILENAME == ARGV[1] { expected[$1] = $2; next }
    $1 == "rustc" || $1 == "arch" { if (expected[$1] != $2) other = $2; next }
    !($1 in expected) { printf "%-14s %12d instructions a step, none expected\n", $1, $2; worse++; next }
    {
        seen[$1] = 1
        change = ($2 / expected[$1] - 1) * 100
        bad = change > tolerance || change < -tolerance
        worse += bad
        printf "%-14s %12d instructions a step, expected %12d, %+.2f%%%s\n",
            $1, $2, expected[$1], change, bad ? " !" : ""
    }
    END {
        for (net in expected)
            if (!(net in seen) && net != "rustc" && net != "arch") {
                printf "%-14s not counted, expected %12d\n", net, expected[net]
                worse++
            }
        if (other) print "the expectation is for another compiler or machine than " other ": nothing checked"
        else if (worse) {
            print worse " not as expected, or outside of " tolerance "%: if it was meant, run benches/instructions.sh --update"
            exit 1
        }
    }' "$expected" "$scratch/found"
