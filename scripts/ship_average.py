"""Ship the mean of the weights of several trainings of an attribute bundle, with thresholds fitted on validation.

    python scripts/ship_average.py BUNDLE DATA RUN RUN ...

BUNDLE is the name of the bundle in the collection, DATA the prepared folder, each RUN a finished run's folder, such as
``runs/ablations/attributes_further/bce_dice/seed0``. The trainings must have gone on from the same weights: networks
that started apart have no mean that is of use. Writes ``bundles/BUNDLE/models/model.pt`` in half precision and
``thresholds.json`` beside it, and prints that. Reference: Wortsman et al., "Model soups", ICML 2022.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from monai.bundle import ConfigParser

from dermaseg_monai.bundle.weights import halved, load_weights
from dermaseg_monai.handlers import fitted_thresholds
from dermaseg_monai.utils.files import atomic_path, write_text

ROOT = Path(__file__).resolve().parents[1]


def main(bundle: str, data: str, *runs: str) -> None:
    folder = ROOT / "bundles" / bundle
    weights = mean_weights(
        [torch.load(Path(run) / "models" / "model.pt", map_location="cpu", weights_only=True) for run in runs]
    )
    with atomic_path(folder / "models" / "model.pt") as temporary:
        torch.save(halved(weights), temporary)
    parser = ConfigParser(json.loads((folder / "configs" / "train.json").read_text(encoding="utf-8")))
    parser.update({"dataset_dir": data, "amp": False, "average": None, "encoder_weights": None})
    parser["network"] = load_weights(
        parser.get_parsed_content("network_def"),
        folder / "models" / "model.pt",
        parser.get_parsed_content("device"),
    )
    parser.get_parsed_content("validate#evaluator").run()
    result = fitted_thresholds(
        parser.get_parsed_content("validate#key_metric#macro_jaccard").histogram,
        parser.get_parsed_content("attributes"),
        parser.get_parsed_content("threshold_objective"),
    )
    write_text(folder / "models" / "thresholds.json", json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def mean_weights(members: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The mean of each tensor, in float32; counters are the first member's."""
    return {
        name: torch.stack([member[name].float() for member in members]).mean(0)
        if first.is_floating_point()
        else first
        for name, first in members[0].items()
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
