"""Training for every kind of prompt and corrective clicks, as MONAI runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from dermaseg_monai.bundle.folder import bundle_folder
from tests.sam.helpers import TINY, tiny_network, write_prepared_discs

FOLDER = bundle_folder("lesion_sam")


def begun(dataset: Path, scratch: Path, **overrides: Any) -> ConfigWorkflow:
    """A training of mixed prompts that is about to run."""
    workflow = ConfigWorkflow(
        config_file=str(FOLDER / "configs" / "train.json"),
        workflow_type="train",
        run_id="training",
        logging_file=False,
        bundle_root=str(FOLDER),
        dataset_dir=str(dataset),
        ckpt_dir=str(scratch / "models"),
        output_dir=str(scratch / "output"),
        device="$torch.device('cpu')",
        **{
            "network_def#architecture": TINY,
            "start_from": str(dataset / "start.pth"),
            "validate#dataset#predictor": None,
            "batch_size": 2,
            "learning_rate": 3e-3,
            "max_epochs": 2,
            "prompt_kind": "mixed",
            "train_prompt_encoder": True,
            **overrides,
        },
    )
    workflow.initialize()
    return workflow


def result(scratch: Path) -> tuple[pd.DataFrame, dict[str, torch.Tensor]]:
    history = pd.read_csv(scratch / "output" / "history.csv", dtype=str).drop(columns="seconds")
    return history, torch.load(scratch / "models" / "model.pt", weights_only=True)


def test_embeddings_serve_evaluation_as_well(tmp_path: Path) -> None:
    dataset = write_prepared_discs(tmp_path / "discs", training=2)
    torch.save(tiny_network().state_dict(), dataset / "start.pth")
    parser = begun(dataset, tmp_path, amp="bfloat16").parser
    assert parser.get_parsed_content("train#trainer").half is torch.bfloat16
    assert parser.get_parsed_content("embeddings").half is None


def test_a_resumed_training_equals_one_that_went_through(tmp_path: Path) -> None:
    dataset = write_prepared_discs(tmp_path / "discs", training=8)
    start = tiny_network().state_dict()
    torch.save(start, dataset / "start.pth")
    begun(dataset, tmp_path / "whole").run()
    trainer = begun(dataset, tmp_path / "parts").parser.get_parsed_content("train#trainer")

    def interrupt(engine: Any) -> None:
        raise KeyboardInterrupt

    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=1), interrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    begun(dataset, tmp_path / "parts").run()
    (whole, weights), (parts, resumed) = result(tmp_path / "whole"), result(tmp_path / "parts")
    pd.testing.assert_frame_equal(whole, parts)
    assert len(whole) == 2
    assert all(torch.equal(weights[name], resumed[name]) for name in start)
    changed = {name.split(".")[0] for name in start if not torch.equal(weights[name], start[name])}
    assert changed == {"mask_decoder", "prompt_encoder"}
