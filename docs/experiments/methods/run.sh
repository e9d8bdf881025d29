#!/usr/bin/env bash
# Every method on both corpora, three seeds each: docs/experiments/methods/run.sh [folder for data and runs]
# Needs the data that docs/experiments/methods.md names, in SHARED (default ../shared), and `perenos` or PERENOS.
# MODEL (default: the embedded base), METHODS, CORPORA (weather, sql; few, few_sql: a part of each, for SmolLM2) and SEEDS choose a part of it.
# Finished runs are kept: delete one to repeat it. Each model needs a folder of its own.
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
for few in few:weather/pairs few_sql:sql; do
    [ ! -d "${few%:*}" ] || continue
    mkdir "${few%:*}"
    for part in train:64 valid:8 test:24; do head -n "${part#*:}" "${few#*:}/${part%:*}.jsonl" > "${few%:*}/${part%:*}.jsonl"; done
done
# What EWC and replay keep; forgetting is measured on other text, that of the program.
[ -s fisher.safetensors ] || "$program" fisher --model "$model" --data general.jsonl --output fisher.safetensors ${FISHER_TOKENS:+--tokens "$FISHER_TOKENS"}

for corpus in ${CORPORA:-weather sql}; do
    case $corpus in
        weather) task=(--data weather/pairs --prompt 'English: {en}\nFrench:' --completion ' {fr}' --maximum-length 512 --max-new-tokens 256 --batch-size 8) ;;
        sql) task=(--data sql --prompt 'Question: {question}\nSQL:' --completion ' {sql}' --maximum-length 256 --max-new-tokens 128 --batch-size 8) ;;
        few) task=(--data few --prompt 'Translate to French: {en}' --completion '{fr}' --max-new-tokens 96 --batch-size 4 --epochs 2) ;;
        few_sql) task=(--data few_sql --prompt 'Write SQL: {question}' --completion '{sql}' --maximum-length 256 --max-new-tokens 64 --batch-size 4 --epochs 2) ;;
    esac
    for seed in ${SEEDS:-1 2 3}; do
        for method in $methods; do
            recipe=$here/recipes/$method.yaml rate=()
            # The recipes' rates are those of the embedded base.
            if [[ $corpus = few* ]]; then
                [ ! -f "$here/recipes/few/$method.yaml" ] || recipe=$here/recipes/few/$method.yaml
                case $method in
                    full* | replay* | self-replay) rate=(--learning-rate 2e-4) ;;
                    lora* | dora | rslora) rate=(--learning-rate 1e-3) ;;
                esac
            fi
            name=$corpus-$method-$seed
            [ -s "runs/$name/summary.json" ] ||
                "$program" tune "$recipe" --model "$model" "${task[@]}" "${rate[@]}" --seed "$seed" --name "$name" </dev/null
        done
    done
done

dotnet run "$here/table.cs" -- runs
