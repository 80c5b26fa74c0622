"""Published weights: facts in one form, and refusals that say what to do."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path

import pytest
import torch

from dermaseg_monai.sam import CHECKPOINTS, PREPROCESSING, best_weights, get_checkpoint, load_checkpoint
from dermaseg_monai.sam.architecture import ARCHITECTURES
from dermaseg_monai.utils.errors import InputError
from tests.sam.helpers import tiny_network


def test_facts_are_of_one_form() -> None:
    assert list(CHECKPOINTS) == [
        "sam_vit_b",
        "sam_vit_l",
        "sam_vit_h",
        "medsam_vit_b",
        "mobile_sam",
    ]
    for checkpoint in CHECKPOINTS.values():
        assert re.fullmatch(r"[0-9a-f]{64}", checkpoint.sha256)
        assert checkpoint.url.startswith("https://")
        assert checkpoint.url.endswith(f"/{checkpoint.file}")
        assert checkpoint.architecture in ARCHITECTURES
        assert checkpoint.preprocessing in PREPROCESSING
    # a float32 file holds four bytes for each parameter, and a little more
    assert 0 < CHECKPOINTS["sam_vit_b"].size - 4 * 93_735_472 < 200_000
    assert 0 < CHECKPOINTS["sam_vit_l"].size - 4 * 312_342_832 < 200_000
    assert 0 < CHECKPOINTS["sam_vit_h"].size - 4 * 641_090_608 < 200_000
    assert 0 < CHECKPOINTS["medsam_vit_b"].size - 4 * 93_735_472 < 200_000


def check_sentence(error: InputError, start: str) -> None:
    known = CHECKPOINTS["sam_vit_b"]
    assert re.search(start, str(error))
    assert "\n" not in str(error)
    for fact in (known.file, known.url, known.sha256):
        assert fact in str(error)


def test_missing(tmp_path: Path) -> None:
    for path in (tmp_path / "model.pt", tmp_path):
        with pytest.raises(InputError) as caught:
            load_checkpoint(tiny_network(), path)
        check_sentence(caught.value, "there are no weights at")


def test_fine_tuned_weights_of_another_name_load(tmp_path: Path) -> None:
    trained, fresh = tiny_network(1), tiny_network(2)
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    assert load_checkpoint(fresh, tmp_path / "model.pt") is fresh
    for name, tensor in trained.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], tensor)


def test_published_name_must_be_the_published_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / CHECKPOINTS["sam_vit_b"].file
    torch.save(tiny_network(1).state_dict(), path)
    with pytest.raises(InputError) as caught:
        load_checkpoint(tiny_network(), tmp_path)
    check_sentence(caught.value, "is not the published file")
    facts = dataclasses.replace(
        get_checkpoint("sam_vit_b"), sha256=hashlib.sha256(path.read_bytes()).hexdigest()
    )
    monkeypatch.setitem(CHECKPOINTS, "sam_vit_b", facts)
    assert load_checkpoint(tiny_network(), tmp_path).multimask is None


@pytest.mark.parametrize(("asked", "expected"), [(None, False), (True, True), (False, False)])
def test_fine_tuned_weights_propose_one_mask(tmp_path: Path, asked: bool | None, expected: bool) -> None:
    torch.save(tiny_network().state_dict(), tmp_path / "model.pt")
    assert load_checkpoint(tiny_network(multimask=asked), tmp_path / "model.pt").multimask is expected


def test_fine_tuned_weights_come_before_the_published(tmp_path: Path) -> None:
    assert best_weights(tmp_path) == tmp_path
    (tmp_path / "model.pt").touch()
    assert best_weights(str(tmp_path)) == tmp_path / "model.pt"


def test_wrong_files(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError) as caught:
        load_checkpoint(tiny_network(), path)
    check_sentence(caught.value, "is no file of weights")
    state = tiny_network().state_dict()
    for change, reason in (
        (
            {"image_encoder.pos_embed": torch.zeros(1, 64, 64, 32)},
            r"pos_embed has shape \(1, 64, 64, 32\) where",
        ),
        ({"image_encoder.extra": torch.zeros(1)}, "it has image_encoder.extra"),
        ({"image_encoder.pos_embed": None}, "it lacks image_encoder.pos_embed"),
    ):
        torch.save(state | change, path)
        with pytest.raises(InputError) as caught:
            load_checkpoint(tiny_network(), path)
        check_sentence(caught.value, reason)
    torch.save([1, 2], path)
    with pytest.raises(InputError) as caught:
        load_checkpoint(tiny_network(), path)
    check_sentence(caught.value, "holds a list")


def test_unknown_name() -> None:
    with pytest.raises(InputError, match="'sam_vit_x'; choose one of sam_vit_b"):
        get_checkpoint("sam_vit_x")
