"""Photos of a batch are post-processed side by side; one that ends the run lets the others end first."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch

from dermaseg_monai.engines import PhotoEvaluator
from dermaseg_monai.utils.errors import OutputError

DISK = OutputError("the disk is full.")


def test_an_error_waits_for_what_the_others_write() -> None:
    refused = threading.Event()
    written: list[str] = []

    def write(item: dict[str, Any]) -> dict[str, Any]:
        if item["id"] == "first":
            refused.set()
            raise DISK
        assert refused.wait(60)
        threading.Event().wait(0.2)  # a large mask
        written.append(item["id"])
        return item

    batch = {"image": torch.zeros(2, 3, 4, 4), "items": [{"id": "first"}, {"id": "second"}]}
    evaluator = PhotoEvaluator(
        device=torch.device("cpu"),
        val_data_loader=[batch],
        network=torch.nn.Conv2d(3, 1, 1),
        postprocessing=write,
    )
    with pytest.raises(Exception, match=r".") as caught:
        evaluator.run()
    assert DISK in (caught.value, caught.value.__cause__)
    assert written == ["second"]
