"""Clicks on photos: one embedding a photo, the last answer as the prior of the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dermaseg_monai.sam import PromptSession, SamPreprocessd
from dermaseg_monai.sam.prompt import Prompt
from dermaseg_monai.utils.errors import InputError
from tests.sam.helpers import tiny_network, two_discs

PHOTO, LEFT, RIGHT = two_discs(0)
CLICK = {"points": [(20.0, 24.0)], "labels": [1]}


@pytest.fixture
def session() -> PromptSession:
    network = tiny_network()
    torch.nn.init.constant_(network.mask_decoder.iou_prediction_head.layers[-1].bias, 0.0)
    return PromptSession(network, SamPreprocessd(size=64))


def decoder_calls(session: PromptSession) -> list[dict[str, torch.Tensor | None]]:
    """Every call of the decoder from now on, by its arguments' names."""
    calls: list[dict[str, torch.Tensor | None]] = []
    decode = session.network.decode_tensors

    def spy(*arguments: torch.Tensor | None) -> torch.Tensor:
        names = ("embeddings", "boxes", "points", "labels", "masks")
        calls.append(dict(zip(names, arguments, strict=True)))
        return decode(*arguments)

    session.network.decode_tensors = spy  # type: ignore[method-assign]
    return calls


@torch.no_grad()
def test_answers_as_the_network_does(session: PromptSession) -> None:
    box = (10.0, 8.0, 40.0, 41.0)
    mask = session.refine(PHOTO, [(20.0, 24.0), (60.0, 5.0)], [1, 0], box)
    assert (mask.shape, mask.dtype, set(np.unique(mask)) <= {0, 1}) == ((48, 64), np.uint8, True)
    canvas = session.preprocess({"image": torch.from_numpy(PHOTO.transpose(2, 0, 1).copy())})["image"]
    prompt = Prompt(
        box, ((20.0, 24.0), (60.0, 5.0)), (1, 0)
    )  # the photo fills the canvas's width: no scaling
    logits = session.network(canvas.as_tensor()[None], [[prompt]])[0, 0, :48, :64]
    np.testing.assert_array_equal(mask, (logits >= 0).numpy())


def test_photos_are_embedded_once_while_they_are_kept(session: PromptSession, tmp_path: Path) -> None:
    encoded = []
    encode = session.network.encode
    session.network.encode = lambda image: encoded.append(1) or encode(image)  # type: ignore[method-assign]
    session.keep = 2
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    Image.fromarray(PHOTO[:, ::-1]).save(tmp_path / "other.png")
    first = session.refine(tmp_path / "photo.png", **CLICK)
    np.testing.assert_array_equal(session.refine(tmp_path / "photo.png", **CLICK), first)
    assert len(encoded) == 1
    np.testing.assert_array_equal(session.refine(PHOTO, **CLICK), first)
    session.refine(tmp_path / "other.png", **CLICK)
    assert len(encoded) == 3
    session.refine(PHOTO, **CLICK)
    assert len(encoded) == 3
    session.refine(tmp_path / "photo.png", **CLICK)  # used longest ago
    assert len(encoded) == 4


def test_a_mask_is_the_prior(session: PromptSession) -> None:
    calls = decoder_calls(session)
    session.refine(PHOTO, mask=LEFT * 255)
    prior = calls[-1]["masks"]
    assert calls[-1]["points"] is None
    assert prior is not None
    assert prior.shape == (1, 1, 64, 64)
    np.testing.assert_array_equal(prior[0, 0, :48].numpy(), np.where(LEFT, 8.0, -8.0))
    assert (prior[0, 0, 48:] == -8).all()


def test_an_answer_counts_with_its_certainty(session: PromptSession) -> None:
    calls = decoder_calls(session)
    answer = session.refine(PHOTO, **CLICK)
    assert calls[-1]["masks"] is None
    session.refine(PHOTO, **CLICK, mask=answer)
    prior = calls[-1]["masks"]
    assert prior is not None
    assert len(prior.unique()) > 2
    np.testing.assert_array_equal(prior[0, 0, :48].numpy() >= 0, answer)


def test_refusals(session: PromptSession, tmp_path: Path) -> None:
    for photo, more, message in (
        (PHOTO, {}, "neither a box nor a point"),
        (PHOTO, {"points": [(1.0, 1.0)]}, "1 points and 0 labels"),
        (PHOTO, {"mask": LEFT[:-1]}, "64 x 47 pixels, but the photo is 64 x 48"),
        (PHOTO[..., 0], CLICK, r"uint8 \(H, W, 3\)"),
        (tmp_path / "none.png", CLICK, "none.png"),
    ):
        with pytest.raises(InputError, match=message):
            session.refine(photo, **more)
    with pytest.raises(InputError, match="'lesion_unet' takes no prompts"):
        PromptSession.of_bundle("lesion_unet")
