#!/usr/bin/env bash
# How much data U-Net and U-Net++ need: run_data_fraction_study.sh --dataset_dir DIR [--seeds 0,1] [--epochs N] [--dry_run]
exec dermaseg study run data_fraction "$@"
