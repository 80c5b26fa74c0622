#!/usr/bin/env bash
# Train the flagship's full recipe without each fold, at low priority, one fold on each core, validated once, at the end.
# The same command goes on with what is unfinished and skips what is finished.
#
#     scripts/train_folds.sh FOLDS ENCODER [RUNS]
#
# FOLDS is a folder that `dermaseg prepare --folds 2` made, ENCODER the encoder's ImageNet weights. RUNS (runs/folds)
# takes the run folders, which `dermaseg audit --runs` reads.
set -euo pipefail

project=$(realpath "$(dirname "$0")/..")
OMP_NUM_THREADS=1 nice -n 15 "${PYTHON:-$project/.venv/bin/python}" -m dermaseg_monai study run cross_validation \
    --bundle lesion_mobilenetv2_unet --dataset_dir "$1" --encoder_weights "$2" --runs "${3:-$project/runs/folds}" \
    --epochs 40 --val_interval 40 --device cpu --cpus_per_run 1 < /dev/null
