"""The promptable network against the package that it is built of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import Sam
from torch.nn import functional as F

from dermaseg_monai.sam import ARCHITECTURES, Prompt, SamNetwork, SamPreprocessd, build_sam
from dermaseg_monai.sam.prompt import attach_prompts
from dermaseg_monai.utils.errors import InputError
from tests.sam.helpers import TINY, tiny_network
from tests.sam.test_preprocess import noise, photo_of

BOX = Prompt((8.0, 12.0, 40.0, 44.0))
POINTS = Prompt(None, ((20.0, 24.0), (50.0, 10.0)), (1, 0))
POINT = Prompt(None, ((20.0, 24.0),), (1,))
BOTH = Prompt((8.0, 12.0, 40.0, 44.0), ((20.0, 24.0),), (1,))


def as_sam(network: SamNetwork) -> Sam:
    return Sam(network.image_encoder, network.prompt_encoder, network.mask_decoder).eval()


def by_package(network: SamNetwork, embedding: torch.Tensor, prompt: Prompt, several: bool) -> torch.Tensor:
    """One image, one prompt, the package's own way: logits (1, n, h, w) and their predicted quality."""
    points = boxes = None
    if prompt.points:
        points = (torch.tensor([prompt.points]) - 0.5, torch.tensor([prompt.labels]))
    if prompt.box:
        boxes = torch.tensor([prompt.box]) - 0.5
    sparse, dense = network.prompt_encoder(points=points, boxes=boxes, masks=None)
    return network.mask_decoder(
        image_embeddings=embedding[None],
        image_pe=network.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=several,
    )


class TestPublishedSizes:
    @pytest.mark.parametrize(
        ("architecture", "parameters", "entries", "width"),
        [
            ("vit_b", 93_735_472, 314, 768),
            ("vit_l", 312_342_832, 482, 1024),
            ("vit_h", 641_090_608, 594, 1280),
        ],
    )
    def test_keys_and_shapes(self, architecture: str, parameters: int, entries: int, width: int) -> None:
        with torch.device("meta"):
            network, package = SamNetwork(architecture), sam_model_registry[architecture]()
        shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        assert shapes == {name: tuple(tensor.shape) for name, tensor in package.state_dict().items()}
        assert sum(parameter.numel() for parameter in network.parameters()) == parameters
        assert len(shapes) == entries
        assert shapes["image_encoder.pos_embed"] == (1, 64, 64, width)
        assert shapes["mask_decoder.mask_tokens.weight"] == (4, 256)
        assert (network.image_size, network.mask_factor) == (1024, 4)

    def test_our_builder_defaults_to_vit_b(self) -> None:
        with torch.device("meta"):
            ours, package = build_sam(), sam_model_registry["vit_b"]()
        expected = {name: tuple(tensor.shape) for name, tensor in package.state_dict().items()}
        assert {name: tuple(tensor.shape) for name, tensor in ours.state_dict().items()} == expected
        windows = [[block.window_size for block in sam.image_encoder.blocks] for sam in (ours, package)]
        assert windows[0] == windows[1]

    def test_refusals(self) -> None:
        assert ARCHITECTURES == ("vit_b", "vit_l", "vit_h", "tiny_vit")
        with pytest.raises(InputError, match="'vit_x'"):
            SamNetwork("vit_x")
        with pytest.raises(InputError, match="multiple of patch_size"):
            build_sam(image_size=100)


class TestDecoding:
    network = tiny_network()
    embeddings = torch.randn(4, 32, 16, 16, generator=torch.Generator().manual_seed(1))

    @torch.no_grad()
    def test_mixed_batch_equals_the_package_one_by_one(self) -> None:
        prompts = [BOX, POINTS, POINT, BOTH]
        together = self.network.decode(self.embeddings, [[prompt] for prompt in prompts])
        assert together.shape == (4, 1, 64, 64)
        for one, embedding, prompt in zip(together, self.embeddings, prompts, strict=True):
            logits, quality = by_package(self.network, embedding, prompt, several=prompt is POINT)
            expected = logits[0, quality[0].argmax()]
            torch.testing.assert_close(one[0], expected, rtol=1e-4, atol=1e-5)

    @torch.no_grad()
    @pytest.mark.parametrize("best", [0, 1, 2])
    def test_multimask_takes_the_best_by_predicted_quality(self, best: int) -> None:
        network = tiny_network()
        network.multimask = True
        last = network.mask_decoder.iou_prediction_head.layers[-1]
        last.bias[:] = 0.0
        last.bias[0] = 99.0  # the single mask's own quality, which must not compete
        last.bias[1 + best] = 9.0
        logits, _ = by_package(network, self.embeddings[0], BOX, several=True)
        chosen = network.decode(self.embeddings[:1], [[BOX]])
        torch.testing.assert_close(chosen[0, 0], logits[0, best], rtol=1e-4, atol=1e-5)
        network.multimask = False
        single, _ = by_package(network, self.embeddings[0], BOX, several=False)
        torch.testing.assert_close(network.decode(self.embeddings[:1], [[BOX]]), single, rtol=1e-4, atol=1e-5)

    @torch.no_grad()
    def test_several_prompts_are_united(self) -> None:
        parts = [self.network.decode(self.embeddings[:1], [[prompt]]) for prompt in (BOX, POINTS)]
        union = self.network.decode(self.embeddings[:1], [[BOX, POINTS]])
        torch.testing.assert_close(union, torch.maximum(*parts), rtol=1e-4, atol=1e-5)

    @torch.no_grad()
    def test_a_mask_equals_the_package(self) -> None:
        masks = torch.randn(2, 1, 64, 64)
        boxes = torch.tensor([[8.0, 12.0, 40.0, 44.0]]).repeat(2, 1)
        together = self.network.decode_tensors(self.embeddings[:2], boxes, masks=masks)
        for index, one in enumerate(together):
            sparse, dense = self.network.prompt_encoder(None, boxes[:1] - 0.5, masks[index : index + 1])
            expected, _ = self.network.mask_decoder(
                self.embeddings[index : index + 1],
                self.network.prompt_encoder.get_dense_pe(),
                sparse,
                dense,
                multimask_output=False,
            )
            torch.testing.assert_close(one[None], expected, rtol=1e-4, atol=1e-5)

    def test_refusals(self) -> None:
        for prompts in ([[BOX]], [[BOX], [BOX], [BOX], []]):
            with pytest.raises(InputError, match="give each at least one prompt"):
                self.network.decode(self.embeddings, prompts)

    @torch.no_grad()
    def test_bfloat16_leaves_coordinates_exact(self) -> None:
        boxes = torch.tensor([[8.3, 12.1, 40.7, 44.9]])
        plain = self.network._embedded_prompts(boxes, None, None)
        with torch.autocast("cpu", torch.bfloat16):
            lowered = self.network._embedded_prompts(boxes, None, None)
        for one, other in zip(plain, lowered, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)


class TestForward:
    @torch.no_grad()
    def test_equals_the_package_predictor_at_the_photo_size(self) -> None:
        network = tiny_network()
        network.multimask = False
        pixels = noise((45, 70))
        predictor = SamPredictor(as_sam(network))
        predictor.set_image(pixels)
        box = np.array([10.0, 8.0, 50.0, 40.0])
        expected, _, _ = predictor.predict(box=box, multimask_output=False, return_logits=True)
        preprocess = SamPreprocessd(size=64)
        image = preprocess({"image": photo_of(pixels)})["image"]
        height, width = preprocess.shown((45, 70))
        # the package takes indices and moves to the pixel's centre on its input, not on the photo
        scale = np.tile([width / 70, height / 45], 2)
        attach_prompts(image, [Prompt(tuple((box * scale + 0.5) / scale))])
        logits = network(image[None])[..., :height, :width]
        restored = F.interpolate(logits, size=(45, 70), mode="bilinear", align_corners=False)
        np.testing.assert_allclose(restored[0].numpy(), expected, rtol=1e-3, atol=1e-5)

    @torch.no_grad()
    def test_prompt_by_default_is_the_whole_input(self) -> None:
        network = tiny_network()
        image = torch.randn(2, 3, 64, 64)
        whole = [[Prompt((0.0, 0.0, 64.0, 64.0))]] * 2
        plain = network(image)
        assert plain.shape == (2, 1, 64, 64)
        torch.testing.assert_close(plain, network(image, whole), rtol=0, atol=0)
        assert not torch.allclose(plain, network(image, [[BOX]] * 2))

    @torch.no_grad()
    def test_prompts_travel_with_a_batch_of_one(self) -> None:
        network = tiny_network()
        image = SamPreprocessd(size=64)({"image": photo_of(noise((45, 70)))})["image"]
        attach_prompts(image, [Prompt((10.0, 8.0, 50.0, 40.0))])
        batch = image[None].to("cpu")  # as MONAI Label does it
        assert isinstance(batch, MetaTensor)
        scale = (64 / 70, 41 / 45)
        moved = Prompt((10 * scale[0], 8 * scale[1], 50 * scale[0], 40 * scale[1]))
        torch.testing.assert_close(
            network(batch), network(image.as_tensor()[None], [[moved]]), rtol=1e-4, atol=1e-5
        )

    @pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
    @torch.no_grad()
    def test_can_be_traced(self) -> None:
        network = tiny_network()
        traced = torch.jit.trace(network, torch.randn(1, 3, 64, 64), check_trace=False)
        image = torch.randn(1, 3, 64, 64)
        torch.testing.assert_close(traced(image), network(image), rtol=1e-4, atol=1e-4)

    def test_refuses_another_size(self) -> None:
        with pytest.raises(InputError, match=r"takes \(B, 3, 64, 64\)"):
            SamNetwork(TINY)(torch.zeros(1, 3, 32, 64))
