#!/bin/sh
# A DVC stage leaves a small text file that shall lie in Git (`cache: false`) beside an out in DVC's cache. The file may
# be declared under `outs`, `metrics` or `plots`.
#
# One would expect: that is a matter of `dvc metrics` and `dvc plots`; going back to parameters of which a run is known
#   takes its results from the run cache ("Stage ... is cached - skipping run"), as DVC's manual says of every stage.
# What happens: under `metrics` or `plots` it does. Under `outs` the stage is run again each time, and nothing says why.
# Who meets it: whoever keeps a report, a table or a log of a training in Git: each return to a known setting, and each
#   `dvc exp run` in a queue or by a colleague with the shared run cache, trains anew.
# What to do: declare the file under `plots` (a JSON object without a list is drawn as nothing) or under `metrics`.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
uv venv --quiet --python '>=3.11,<3.13' "$dir/venv"
uv pip install --quiet --python "$dir/venv/bin/python" dvc==3.67.1 dvc-data==3.18.3 pathspec==1.1.1
PATH="$dir/venv/bin:$PATH"
export PATH DVC_NO_ANALYTICS=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a \
    GIT_COMMITTER_EMAIL=a@example.org

seen() {
    mkdir "$dir/$1"
    cd "$dir/$1"
    git init -q
    dvc init -q
    echo 'rate: 1' > params.yaml
    echo data > data
    echo 'echo "{}" > report.json; cp params.yaml model' > train.sh
    {
        printf 'stages:\n  train:\n    cmd: sh train.sh\n    deps: [data]\n    params: [rate]\n    outs:\n      - model\n'
        [ "$1" = outs ] || printf '    %s:\n' "$1"
        printf '      - report.json:\n          cache: false\n'
    } > dvc.yaml
    dvc repro -q
    git add -A
    git commit -qm first
    echo 'rate: 2' > params.yaml
    dvc repro -q
    echo 'rate: 1' > params.yaml
    dvc repro > printed
    if grep -q 'is cached' printed; then echo restored; else echo 'run again'; fi
}

echo "dvc $(dvc --version)"
echo "expected: back at a known parameter, restored from the run cache, however report.json is declared"
found=
for kind in outs metrics plots; do
    result=$(seen "$kind")
    echo "seen:     report.json under $kind: $result"
    found="$found$kind $result; "
done
[ "$found" = "outs run again; metrics restored; plots restored; " ] || { echo "no longer so" >&2; exit 1; }
