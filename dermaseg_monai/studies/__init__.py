"""Ablation studies: what is compared, how it is run, and what the differences are worth."""
