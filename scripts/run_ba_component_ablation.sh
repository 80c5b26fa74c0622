#!/usr/bin/env bash
# What the heads of BA-DeepLabV3 bring: run_ba_component_ablation.sh --dataset_dir DIR [--seeds 0,1] [--epochs N] [--dry_run]
exec dermaseg study run components "$@"
