#!/usr/bin/env bash
# Losses and learning rates of DeepLabV3 and BA-DeepLabV3: run_full_isic_ablation.sh ["RATE ..."] --dataset_dir DIR [...]
set -euo pipefail
rates="1e-4 3e-4 1e-3"
if [[ ${1:-} == [0-9.]* ]]; then rates=$1 && shift; fi
exec dermaseg study run loss,learning_rate --rates "$rates" "$@"
