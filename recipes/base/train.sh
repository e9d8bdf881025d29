#!/usr/bin/env bash
# Makes the embedded base model anew, from the packages to src/Perenos/Base: recipes/base/train.sh
# After an interruption, run it again: finished parts are kept, and an unfinished training goes on from its checkpoint.
# To start over, delete recipes/base/work. PERENOS names a built program to use; without it one is built, and must then
# not be built again while it trains.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
program=${PERENOS:+$(realpath "$PERENOS")}
# The recipe's paths begin here.
cd "$root"
work=recipes/base/work
run=$work/runs/base
base=src/Perenos/Base

if [ -z "$program" ]; then
    dotnet build src/Perenos.Cli -c Release
    program=$root/artifacts/bin/Perenos.Cli/release/Perenos.Cli
fi

# The report is the last file that gathering puts into its output.
if [ ! -s "$work/output/report.json" ]; then
    recipes/base/gather.sh
fi

if [ ! -s "$work/tokenizer.json" ]; then
    "$program" tokenizer train "$work/output/train.jsonl" --vocabulary-size 8192 --output "$work/tokenizer.json"
fi

if grep -qs '"status": "finished"' "$run/summary.json"; then
    echo "$run is finished."
elif [ -f "$run/config.json" ]; then
    "$program" pretrain --resume "$run"
else
    "$program" pretrain recipes/base/pretrain.yaml --runs "$work/runs"
fi

# Copied completely first, then renamed: an interruption leaves no half file among the sources.
staging=$work/staging
rm -rf "$staging"
mkdir "$staging"
for file in model.safetensors config.json generation_config.json tokenizer.json tokenizer_config.json; do
    cp "$run/model/$file" "$staging/"
done
mkdir -p "$base"
mv -f "$staging"/* "$base/"
# Forgetting is measured on paragraphs that this very training held out.
cp "$work/output/forgetting.jsonl" "$staging/reference.jsonl"
mv -f "$staging/reference.jsonl" src/Perenos/Resources/reference.jsonl
rmdir "$staging"

# Held-out bits per byte, for the model card.
"$program" evaluate --model "$base" --text "$work/output/heldout.jsonl" --window 256
