#!/usr/bin/env bash
# The whole experiment: docs/experiments/weather/run.sh [folder for data and runs]
# Needs the data and models that docs/experiments/weather.md names, in SHARED (default ../shared), and `perenos` or PERENOS.
# Finished runs are kept: delete one to repeat it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
shared=$(cd "${SHARED:-$here/../../../../shared}" && pwd)
program=${PERENOS:-perenos}
mkdir -p "${1:-weather}"
cd "${1:-weather}"

if [ ! -d data ]; then
    dotnet run "$here/prepare.cs" -- "$shared/data/weather/bulletins.jsonl" data \
        "$shared/data/text/genesis_english-kjv.txt" "$shared/data/text/shakespeare.txt"
fi

once() { # name, command…
    local name=$1
    shift
    [ -s "runs/$name/report.html" ] || "$program" "$@" --name "$name" </dev/null
}

small=(--data data/pairs --prompt 'English: {en}\nFrench:' --completion ' {fr}' --maximum-length 512 --max-new-tokens 256 --epochs 10 --batch-size 8)
once base-lora tune --model base "${small[@]}" --method lora --rank 64 --alpha 128 --learning-rate 2e-3
once base-full tune --model base "${small[@]}" --method full --learning-rate 1e-3
once base-scratch pretrain "$here/scratch.yaml"

for corpus in weather genesis_english-kjv shakespeare; do
    once "contrast-$corpus" tune --model base --data "data/$corpus" --method lora --epochs 5 --learning-rate 1e-3
done

smol=$shared/models/smollm2-135m-instruct
large=(--data data/pairs --prompt 'Translate to French: {en}' --completion '{fr}' --max-new-tokens 256 --epochs 4)
once smollm2-lora tune --model "$smol" "${large[@]}" --method lora
once smollm2-full tune --model "$smol" "${large[@]}" --method full
once smollm2-scratch pretrain "$here/scratch.yaml" --architecture "$smol" --tokenizer "$smol" --epochs 4 --learning-rate 5e-4

"$program" runs
