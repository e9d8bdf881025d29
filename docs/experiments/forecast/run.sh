#!/usr/bin/env bash
# The whole experiment: docs/experiments/forecast/run.sh [folder for runs]
# Needs the pairs of ../weather (prepare.cs writes them), in PAIRS, and `perenos` or PERENOS. Finished runs are kept: delete one to repeat it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
general=$here/../../../src/Perenos/Resources/reference.jsonl
pairs=$(cd "${PAIRS:-weather/data/pairs}" && pwd)
program=${PERENOS:-perenos}
mkdir -p "${1:-forecast}"
cd "${1:-forecast}"

# The Fisher information comes from one half of the general text, forgetting is measured on the other.
awk 'NR % 2' "$general" >guarded.jsonl
awk 'NR % 2 == 0' "$general" >measured.jsonl
[ -s fisher.safetensors ] || "$program" fisher --model base --data guarded.jsonl --output fisher.safetensors

for rate in 1e-4 1e-3; do
    for strength in 0 1e5 1e6 1e7 1e8; do
        name=full-$rate-$strength
        [ -s "runs/$name/report.html" ] || "$program" tune --model base --data "$pairs" --prompt 'English: {en}\nFrench:' --completion ' {fr}' \
            --maximum-length 512 --batch-size 2 --steps 60 --validate-every 60 --test-records 0 --method full --learning-rate "$rate" \
            --fisher fisher.safetensors --lambda "$strength" --reference measured.jsonl --name "$name" </dev/null
    done
done

dotnet run "$here/table.cs" -- runs
