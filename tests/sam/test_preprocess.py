"""Preprocessing as in the training of SAM and MedSAM, and coordinates that line up to a fraction of a pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide
from torch import nn

from dermaseg_monai.sam import PREPROCESSING, MedSamPreprocessd, Prompt, SamPreprocessd, input_prompts
from dermaseg_monai.sam.preprocess import PromptPreprocessd
from dermaseg_monai.sam.prompt import attach_prompts
from dermaseg_monai.transforms import RestoreSized
from dermaseg_monai.utils.errors import InputError
from tests.sam.helpers import tiny_network

SIZES = [(200, 300), (301, 207), (90, 64), (64, 64), (37, 121)]
BOTH = pytest.mark.parametrize("preprocess", [kind(size=64) for kind in PREPROCESSING.values()])


def photo_of(pixels: np.ndarray) -> MetaTensor:
    height, width = pixels.shape[:2]
    meta = {
        "filename_or_obj": "photo.png",
        "original_size": (height, width),
        "extent": (0.0, 0.0, float(height), float(width)),
    }
    return MetaTensor(torch.from_numpy(pixels.transpose(2, 0, 1).copy()), meta=meta)


def noise(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


def centroid(values: torch.Tensor) -> tuple[float, float]:
    """(x, y) of the mean position of the values (H, W), pixels' centres at a half."""
    values = values.double()
    columns = torch.arange(values.shape[1], dtype=torch.float64) + 0.5
    rows = torch.arange(values.shape[0], dtype=torch.float64) + 0.5
    return (
        float((values.sum(dim=0) * columns).sum() / values.sum()),
        float((values.sum(dim=1) * rows).sum() / values.sum()),
    )


class TestSam:
    @pytest.mark.parametrize("size", SIZES)
    def test_equals_the_package(self, size: tuple[int, int]) -> None:
        pixels = noise(size)
        parts = [nn.Module() for _ in range(3)]
        parts[0].img_size = 96
        resized = ResizeLongestSide(96).apply_image(pixels)
        expected = Sam(*parts).preprocess(torch.from_numpy(resized.transpose(2, 0, 1)).float())
        ours = SamPreprocessd(size=96)({"image": photo_of(pixels)})["image"]
        torch.testing.assert_close(ours.as_tensor(), expected, rtol=0, atol=1e-5)

    def test_padding_is_zero_and_at_the_right_and_bottom(self) -> None:
        image = SamPreprocessd(size=64)({"image": photo_of(noise((30, 60)))})["image"].as_tensor()
        assert image[:, :32].abs().min() > 0
        assert image[:, 32:].abs().max() == 0


class TestMedSam:
    def test_values_span_zero_to_one(self) -> None:
        pixels = (noise((50, 70)) // 4 + 90).astype(np.uint8)
        image = MedSamPreprocessd(size=64)({"image": photo_of(pixels)})["image"].as_tensor()
        assert image.dtype == torch.float32
        assert (float(image.min()), float(image.max())) == (0.0, 1.0)

    def test_constant_photo_is_all_zero(self) -> None:
        pixels = np.full((20, 30, 3), 77, dtype=np.uint8)
        assert MedSamPreprocessd(size=32)({"image": photo_of(pixels)})["image"].abs().max() == 0

    def test_cubic_interpolation_keeps_a_ramp(self) -> None:
        # a ramp of 4 per pixel, enlarged twice: pixel i shows position (i + 0.5) / 2 - 0.5 of the photo
        ramp = np.broadcast_to((4 * np.arange(50, dtype=np.uint8))[None, :, None], (50, 50, 3))
        image = MedSamPreprocessd(size=100)({"image": photo_of(ramp)})["image"][0, 50]
        expected = 4 * ((np.arange(100) + 0.5) / 2 - 0.5)
        inner = slice(20, 80)
        np.testing.assert_allclose(image[inner].numpy() * 196, expected[inner], atol=1.01)

    def test_reduction_is_smooth(self) -> None:
        # stripes of one pixel alias to noise without a filter before the reduction
        stripes = np.zeros((256, 256, 3), dtype=np.uint8)
        stripes[:, ::2] = 200
        stripes[0, 0] = 255
        image = MedSamPreprocessd(size=32)({"image": photo_of(stripes)})["image"][0]
        assert image[8:24, 8:24].std() < 0.1


class TestGeometry:
    @BOTH
    @pytest.mark.parametrize("size", [(200, 300), (300, 200), (211, 127)])
    def test_a_patch_lies_where_its_box_says(
        self, preprocess: PromptPreprocessd, size: tuple[int, int]
    ) -> None:
        pixels = np.zeros((*size, 3), dtype=np.uint8)
        left, top, right, bottom = 60, 72, 91, 114
        pixels[top:bottom, left:right] = 255
        image = photo_of(pixels)
        attach_prompts(image, [Prompt((left, top, right, bottom), ((70.5, 80.5),), (1,))])
        image = preprocess({"image": image})["image"]
        (prompt,) = input_prompts(image)
        height, width = preprocess.shown(size)
        values = image.as_tensor()[0, :height, :width]
        values = (values - values.min()) / (values.max() - values.min())
        x, y = centroid(values)
        assert prompt.box is not None
        assert x == pytest.approx((prompt.box[0] + prompt.box[2]) / 2, abs=0.05)
        assert y == pytest.approx((prompt.box[1] + prompt.box[3]) / 2, abs=0.05)
        area = (prompt.box[2] - prompt.box[0]) * (prompt.box[3] - prompt.box[1])
        assert float(values.sum()) == pytest.approx(area, rel=0.02)
        assert prompt.points[0] == pytest.approx((70.5 * width / size[1], 80.5 * height / size[0]))

    @BOTH
    @pytest.mark.parametrize("size", [(200, 300), (300, 200), (211, 127)])
    def test_a_restored_mask_lies_where_its_box_was(
        self, preprocess: PromptPreprocessd, size: tuple[int, int]
    ) -> None:
        image = photo_of(noise(size))
        attach_prompts(image, [Prompt((60.0, 72.0, 91.0, 114.0))])
        image = preprocess({"image": image})["image"]
        box = input_prompts(image)[0].box
        assert box is not None
        # how much of each pixel of the input the box covers
        edges = torch.arange(64, dtype=torch.float64)
        across = (edges + 1).clamp(max=box[2]) - edges.clamp(min=box[0])
        down = (edges + 1).clamp(max=box[3]) - edges.clamp(min=box[1])
        covered = down.clamp(0, 1)[:, None] * across.clamp(0, 1)
        restored = RestoreSized("pred")({"image": image, "pred": covered[None].float()})["pred"][0]
        assert tuple(restored.shape) == size
        x, y = centroid(restored.as_tensor())
        assert (x, y) == pytest.approx((75.5, 93.0), abs=0.1)
        assert float(restored.sum()) == pytest.approx(31 * 42, rel=0.02)

    @pytest.mark.parametrize("size", [(200, 300), (300, 200)])
    def test_points_and_embedding_share_their_positions(self, size: tuple[int, int]) -> None:
        # the code of a point in the middle of a patch is the code of that patch in the embedding
        network = tiny_network()
        geometry = SamPreprocessd(size=64).geometry(size)
        row, column = 5, 9
        top, left, _, _ = geometry.extent
        scale_x, scale_y = size[1] / (geometry.extent[3] - left), size[0] / (geometry.extent[2] - top)
        on_photo = Prompt(None, (((column + 0.5) * 4 * scale_x, (row + 0.5) * 4 * scale_y),), (1,))
        point = torch.tensor([on_photo.to_input(geometry).points])
        nn.init.zeros_(network.prompt_encoder.point_embeddings[1].weight)
        sparse, _, position = network._embedded_prompts(None, point, torch.ones(1, 1))
        torch.testing.assert_close(sparse[0, 0], position[0, :, row, column], rtol=0, atol=1e-5)

    @BOTH
    @pytest.mark.parametrize("size", [(200, 300), (211, 127)])
    def test_training_masks_lie_where_photos_do(
        self, preprocess: PromptPreprocessd, size: tuple[int, int]
    ) -> None:
        mask = np.zeros(size, dtype=np.uint8)
        mask[72:114, 60:91] = 1
        reduced = preprocess.mask(mask, 2)
        assert reduced.shape == (32, 32)
        box = Prompt((60.0, 72.0, 91.0, 114.0)).to_input(preprocess.geometry(size)).box
        assert box is not None
        x, y = centroid(torch.from_numpy(reduced))
        assert (2 * x, 2 * y) == pytest.approx(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), abs=1.0)

    def test_the_whole_input_is_the_prompt_where_none_travels(self) -> None:
        assert input_prompts(torch.zeros(1, 3, 40, 60)) == [Prompt((0.0, 0.0, 60.0, 40.0))]


@BOTH
def test_refuses_what_is_no_photo(preprocess: PromptPreprocessd) -> None:
    with pytest.raises(InputError, match=r"uint8 photo \(3, H, W\) is expected"):
        preprocess({"image": torch.zeros(3, 8, 8)})


def test_descriptions_differ() -> None:
    texts = {kind(size=size).describe() for kind in PREPROCESSING.values() for size in (64, 128)}
    assert len(texts) == 4
