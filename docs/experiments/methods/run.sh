#!/usr/bin/env bash
# Every method on both corpora, three seeds each: docs/experiments/methods/run.sh [folder for data and runs]
# Needs the data that docs/experiments/methods.md names, in SHARED (default ../shared), and `perenos` or PERENOS.
# MODEL (default: the embedded base), METHODS, CORPORA and SEEDS choose a part of it. Finished runs are kept: delete one to repeat it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
shared=$(cd "${SHARED:-$here/../../../../shared}" && pwd)
program=${PERENOS:-perenos}
model=${MODEL:-base}
methods=${METHODS:-$(cd "$here/recipes" && ls -- *.yaml | sed 's/\.yaml$//')}
mkdir -p "${1:-methods}"
cd "${1:-methods}"

[ -d weather ] || dotnet run "$here/../weather/prepare.cs" -- "$shared/data/weather/bulletins.jsonl" weather
[ -d sql ] || dotnet run "$here/prepare.cs" -- "$shared/data/code/staqc_sql.jsonl" "$shared/data/text/c4_300.jsonl" "$shared/data/text/genesis_french.txt" .
# What EWC and replay keep; forgetting is measured on other text, that of the program.
[ -s fisher.safetensors ] || "$program" fisher --model "$model" --data general.jsonl --output fisher.safetensors

for corpus in ${CORPORA:-weather sql}; do
    case $corpus in
        weather) task=(--data weather/pairs --prompt 'English: {en}\nFrench:' --completion ' {fr}' --maximum-length 512 --max-new-tokens 256) ;;
        sql) task=(--data sql --prompt 'Question: {question}\nSQL:' --completion ' {sql}' --maximum-length 256 --max-new-tokens 128) ;;
    esac
    for seed in ${SEEDS:-1 2 3}; do
        for method in $methods; do
            name=$corpus-$method-$seed
            [ -s "runs/$name/summary.json" ] ||
                "$program" tune "$here/recipes/$method.yaml" --model "$model" "${task[@]}" --epochs "${EPOCHS:-5}" --batch-size 8 --seed "$seed" --name "$name" </dev/null
        done
    done
done

dotnet run "$here/table.cs" -- runs
