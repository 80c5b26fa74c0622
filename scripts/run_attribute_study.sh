#!/usr/bin/env bash
# Losses for the dermoscopic attributes: run_attribute_study.sh --dataset_dir DIR [--seeds 0,1] [--epochs N] [--dry_run]
exec dermaseg study run attribute_loss "$@"
