#!/bin/sh
# A DVC stage with `foreach` is a group, and `dvc repro GROUP` runs the stages of it. Its list may come from params.yaml,
# and may be empty there: nothing to clean in this experiment.
#
# One would expect: nothing is run, as nothing is in the group; or the refusal that an unknown name gets ("not found").
# What happens: as the only target, an empty group is taken for no target at all: the whole pipeline is run. Beside a
#   target that is not empty it adds nothing. `matrix` does the same.
# Who meets it: scripts that make a pipeline part by part (a cheap part on this machine, a training on another), as soon
#   as a setting leaves a group empty: the training begins where it was not asked for, and nothing says why.
# What to do: name a stage that is always there beside the group: `dvc repro prepare clean`.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
uv venv --quiet --python '>=3.11,<3.13' "$dir/venv"
uv pip install --quiet --python "$dir/venv/bin/python" dvc==3.67.1 dvc-data==3.18.3 pathspec==1.1.1
PATH="$dir/venv/bin:$PATH"
export PATH DVC_NO_ANALYTICS=1
cd "$dir"
git init -q
dvc init -q
cat > dvc.yaml << 'END'
stages:
  prepare:
    cmd: echo prepare >> log
  clean:
    foreach: ${files}
    do:
      cmd: echo clean ${item} >> log
  grid:
    matrix:
      size: ${files}
    cmd: echo grid ${item.size} >> log
  train:
    cmd: echo train >> log
END

seen() {
    rm -f log dvc.lock
    : > log
    echo "files: $1" > params.yaml
    shift
    dvc repro -q "$@" 2> error || echo refused > log
    printf '%s' "$(tr '\n' ' ' < log)"
}

echo "dvc $(dvc --version)"
echo "expected: dvc repro clean runs the stages of clean: with files [a] one, with files [] none"
one=$(seen '[a]' clean)
none=$(seen '[]' clean)
matrix=$(seen '[]' grid)
beside=$(seen '[]' prepare clean)
unknown=$(seen '[]' cleen)
echo "seen:     files [a], dvc repro clean:         $one"
echo "seen:     files [],  dvc repro clean:         $none"
echo "seen:     files [],  dvc repro grid:          $matrix"
echo "seen:     files [],  dvc repro prepare clean: $beside"
echo "seen:     an unknown name, dvc repro cleen:   $unknown"
[ "$one|$beside|$unknown" = "clean a |prepare |refused " ] || { echo "no longer so" >&2; exit 1; }
for each in "$none" "$matrix"; do
    [ "$each" = "prepare train " ] || [ "$each" = "train prepare " ] || { echo "no longer so" >&2; exit 1; }
done
