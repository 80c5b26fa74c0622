#!/usr/bin/env bash
# Train the studies of scripts/trainings/ at low priority, one on each core. The same command goes on with what is
# unfinished and skips what is finished.
#
#     scripts/train_queue.sh DATA [QUEUE]
#
# DATA is the prepared folder. QUEUE (runs/queue) takes the run folders, in runs/ablations, a log for each study, and a
# clone of the project at the commit that the trainings began with, so that work on the tree does not disturb them.
set -euo pipefail

data=$(realpath "$1")
project=$(realpath "$(dirname "$0")/..")
mkdir -p "${2:-$project/runs/queue}"
queue=$(realpath "${2:-$project/runs/queue}")
python=${PYTHON:-$project/.venv/bin/python}

[ -e "$queue/commit" ] || git -C "$project" rev-parse HEAD > "$queue/commit"
[ -e "$queue/clone" ] || git clone --quiet "$project" "$queue/clone"
git -C "$queue/clone" checkout --quiet "$(cat "$queue/commit")"

train() {
    nice -n 15 "$python" -m dermaseg_monai study run "$1" --dataset_dir "$data" --device cpu \
        < /dev/null >> "$(basename "$1" .json).log" 2>&1
}
export -f train
export data python PYTHONPATH=$queue/clone OMP_NUM_THREADS=1
cores=$(env -u OMP_NUM_THREADS nproc)  # which heeds that variable
cd "$queue"
printf '%s\n' "$project"/scripts/trainings/*.json | xargs -P "$cores" -I {} bash -c 'train {}'
