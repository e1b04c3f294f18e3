#!/usr/bin/env bash
# Measures anew what the documentation shows of the scaling study. On an idle machine, some minutes:
# `bash docs/scaling/update.sh`. Commit what it changed.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -n "$(git status --porcelain)" ]; then
    echo "commit first: the tables name the commit that was measured" >&2
    exit 1
fi
study=target/scaling_study
cargo run --release --features png --example scaling_study -- --out "$study" "$@"
cp "$study/table.md" docs/scaling/measured.md
for picture in speed-up efficiency phases-medium roofline time-to-accuracy prediction-cores-like-these; do
    cp "$study/$picture.svg" docs/scaling/
done
du -ch docs/scaling/* | tail -n 1
