"""Fine-tuning by the project's own trainer until the mask follows the box."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.inferers import SimpleInferer

from dermaseg_monai.engines import Evaluator, Trainer
from dermaseg_monai.handlers import EpochSeed, SegmentationHandler
from dermaseg_monai.losses import CrossEntropyLoss, DiceLoss, WeightedSum
from dermaseg_monai.metrics import confusion_counts, dice
from dermaseg_monai.sam import (
    CorrectiveClicks,
    EmbeddingCache,
    EmbeddingDataset,
    EmbeddingLoader,
    Prompt,
    PromptTraining,
    SamNetwork,
    SamPreprocessd,
    box_of_mask,
    prepare_prompted_batch,
)
from dermaseg_monai.transforms import LoadPhotod, RestoreSized
from dermaseg_monai.utils.errors import InputError
from tests.sam.helpers import tiny_network, two_discs, write_discs


def dataset_of(tmp_path: Path, network: SamNetwork, count: int = 5, **arguments: Any) -> EmbeddingDataset:
    cache = EmbeddingCache(network, SamPreprocessd(size=64), tmp_path / "cache")
    return EmbeddingDataset(write_discs(tmp_path / "photos", count), cache, **arguments)


def segment(network: SamNetwork, index: int, mask: np.ndarray, folder: Path) -> torch.Tensor:
    """The mask (1, H, W) of a photo with two discs, prompted by the box of one."""
    (item,) = write_discs(folder, 1, index)
    preprocess = SamPreprocessd(size=64)
    image = preprocess(LoadPhotod("image")({"image": item["image"]}))["image"]
    prompt = Prompt(box_of_mask(mask)).to_input(preprocess.geometry(mask.shape))
    with torch.no_grad():
        logits = network(image.as_tensor()[None], [[prompt]])[0]
    return RestoreSized("pred", outside=-10.0)({"image": image, "pred": logits})["pred"].as_tensor() >= 0


def test_mask_follows_the_box_after_training(tmp_path: Path) -> None:
    network = tiny_network()
    frozen = {name: tensor.clone() for name, tensor in network.image_encoder.state_dict().items()}
    dataset = dataset_of(tmp_path, network, 24)
    loader = EmbeddingLoader(dataset, batch_size=8, jitter=0.05, shuffle=True, workers=1)
    training = PromptTraining(network, prompt_encoder=True)
    check = EmbeddingLoader(dataset, batch_size=8, workers=1)
    evaluator = Evaluator(
        device=torch.device("cpu"),
        val_data_loader=check,
        network=network,
        inferer=SimpleInferer(),
        prepare_batch=prepare_prompted_batch,
        key_val_metric={"oracle_dice": SegmentationHandler("dice")},
        decollate=False,
    )
    evaluator.run()
    before = evaluator.state.metrics["oracle_dice"]
    trainer = Trainer(
        device=torch.device("cpu"),
        max_epochs=40,
        train_data_loader=loader,
        network=training,
        optimizer=torch.optim.AdamW([p for p in training.parameters() if p.requires_grad], lr=3e-3),
        loss_function=WeightedSum([DiceLoss(), CrossEntropyLoss()], [0.5, 0.5]),
        inferer=SimpleInferer(),
        prepare_batch=prepare_prompted_batch,
        train_handlers=[EpochSeed(0, loader)],
    )
    trainer.run()
    evaluator.run()
    assert before < 0.6
    assert evaluator.state.metrics["oracle_dice"] > 0.9
    for name, tensor in network.image_encoder.state_dict().items():
        assert torch.equal(tensor, frozen[name])
    # photos it has not seen: the same photo gives one disc or the other, as the box says
    scores = []
    for index in range(100, 106):
        _, *masks = two_discs(index)
        for mask, other in (masks, masks[::-1]):
            predicted = segment(network, index, mask, tmp_path / "new")[None]
            right, wrong = (
                float(dice(confusion_counts(predicted, torch.from_numpy(target)[None, None])))
                for target in (mask, other)
            )
            scores.append(right)
            assert wrong < 0.1
    assert np.mean(scores) > 0.88


@pytest.mark.parametrize("kind", ["box", "points", "box_and_points"])
@pytest.mark.parametrize("prompt_encoder", [False, True])
def test_gradient_reaches_all_that_is_trained(tmp_path: Path, kind: str, prompt_encoder: bool) -> None:
    network = tiny_network()
    loader = EmbeddingLoader(dataset_of(tmp_path, network, 3), 3, kind, negative_points=1, workers=1)
    training = PromptTraining(network, kind, prompt_encoder).train()
    image, label = prepare_prompted_batch(next(iter(loader)), "cpu")
    (DiceLoss()(training(image), label)).backward()
    trained = {name: p for name, p in training.named_parameters() if p.requires_grad}
    assert any(name.startswith("prompt_encoder") for name in trained) == prompt_encoder
    for name, parameter in trained.items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert not any(p.requires_grad for p in network.image_encoder.parameters())
    assert network.multimask is False


def test_mixed_training_reaches_all_that_prompts_use(tmp_path: Path) -> None:
    network = tiny_network()
    loader = EmbeddingLoader(
        dataset_of(tmp_path, network, 16), 1, "mixed", negative_points=1, shuffle=True, workers=1
    )
    training = PromptTraining(network, "mixed", prompt_encoder=True).train()
    prepare = CorrectiveClicks(network)
    for batch in loader:
        image, label = prepare(batch, "cpu")
        DiceLoss()(training(image), label).backward()
    for name, parameter in training.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    assert all(p.requires_grad for p in training.prompt_encoder.parameters())
    assert network.multimask is False


class TestCorrectiveClicks:
    def test_each_lies_in_the_error_of_the_mask_before_it(self, tmp_path: Path) -> None:
        network = tiny_network(patch_size=8)  # of which a mask's pixel covers two of the input
        (batch,) = EmbeddingLoader(dataset_of(tmp_path, network), 5, jitter=0.1, workers=1)
        batch["corrections"] = 3
        image, label = CorrectiveClicks(network)(batch, "cpu")
        assert set(image) == {"embeddings", "boxes", "points", "labels", "masks"}
        assert image["points"].shape == (5, 3, 2)
        assert torch.equal(label, batch["label"])
        prompt = dict(batch["image"])
        for clicks in range(1, 4):
            with torch.no_grad():
                logits = network.decode_tensors(**prompt)
            points, labels = image["points"][:, :clicks], image["labels"][:, :clicks]
            for mask, truth, point, told in zip(
                logits[:, 0] >= 0, label[:, 0], points[:, -1], labels[:, -1], strict=True
            ):
                column, row = (point / 2).int().tolist()
                assert truth[row, column] == told != mask[row, column]
            # nothing but clicks and the network's own answer is added to the first prompt
            prompt = {**batch["image"], "points": points, "labels": labels, "masks": logits}
        assert all(torch.equal(image[name], value) for name, value in prompt.items())
        assert not image["masks"].requires_grad

    def test_a_mask_without_error_gets_no_click(self, tmp_path: Path) -> None:
        network = tiny_network()
        (batch,) = EmbeddingLoader(dataset_of(tmp_path, network, 2), 2, "points", workers=1)
        batch["corrections"] = 1
        with torch.no_grad():
            batch["label"][0] = network.decode_tensors(**batch["image"])[0] >= 0
        image, _ = CorrectiveClicks(network)(batch, "cpu")
        assert image["labels"][0].tolist() == [1, -1]
        assert image["labels"][1, 1] in (0, 1)


def test_state_is_small_and_the_network_s_own(tmp_path: Path) -> None:
    network = tiny_network()
    training = PromptTraining(network)
    names = set(training.state_dict())
    assert {name.split(".")[0] for name in names} == {"mask_decoder", "prompt_encoder"}
    assert names < set(network.state_dict())


class TestLoader:
    def test_batches(self, tmp_path: Path) -> None:
        loader = EmbeddingLoader(dataset_of(tmp_path, tiny_network()), batch_size=2, workers=1)
        batches = list(loader)
        assert len(loader) == len(batches) == 3
        assert [batch["index"].tolist() for batch in batches] == [[0, 1], [2, 3], [4]]
        first = batches[0]
        assert first["image"]["embeddings"].shape == (2, 32, 16, 16)
        assert first["image"]["embeddings"].dtype == torch.float16
        assert first["label"].shape == (2, 1, 64, 64)
        _, left, _ = two_discs(0)
        torch.testing.assert_close(first["image"]["boxes"][0], torch.tensor(box_of_mask(left)))
        assert torch.equal(first["label"][0, 0, :48], torch.from_numpy(left))
        assert first["label"][0, 0, 48:].sum() == 0

    def test_epochs_differ_and_repeat(self, tmp_path: Path) -> None:
        dataset = dataset_of(tmp_path, tiny_network())

        def epoch(number: int, seed: int = 0) -> tuple[list[int], torch.Tensor]:
            loader = EmbeddingLoader(dataset, 2, jitter=0.1, shuffle=True, seed=seed, workers=1)
            loader.set_epoch(number)
            batches = list(loader)
            assert len(batches) == len(loader) == 2
            order = [index for batch in batches for index in batch["index"].tolist()]
            boxes = torch.cat([batch["image"]["boxes"] for batch in batches])
            return order, boxes[np.argsort(order)]

        assert epoch(1)[0] == epoch(1)[0]
        assert torch.equal(epoch(1)[1], epoch(1)[1])
        assert not torch.equal(epoch(1)[1], epoch(2)[1])
        assert not torch.equal(epoch(1)[1], epoch(1, seed=3)[1])

    def test_points_lie_on_the_lesion_and_beside_it(self, tmp_path: Path) -> None:
        loader = EmbeddingLoader(
            dataset_of(tmp_path, tiny_network()), 5, "points", points=2, negative_points=3, workers=1
        )
        (batch,) = loader
        assert set(batch["image"]) == {"embeddings", "points", "labels"}
        for points, labels, label in zip(
            batch["image"]["points"], batch["image"]["labels"], batch["label"][:, 0], strict=True
        ):
            assert (
                [int(label[int(y), int(x)]) for x, y in points.tolist()] == labels.tolist() == [1, 1, 0, 0, 0]
            )

    def test_mixed_batches_draw_kind_and_clicks(self, tmp_path: Path) -> None:
        dataset = dataset_of(tmp_path, tiny_network(), 24)

        def epoch(number: int, seed: int = 0) -> list[dict[str, Any]]:
            loader = EmbeddingLoader(dataset, 1, "mixed", jitter=0.1, shuffle=True, seed=seed, workers=1)
            loader.set_epoch(number)
            return list(loader)

        batches = epoch(1)
        kinds = {tuple(sorted(batch["image"])) for batch in batches}
        point = ("embeddings", "labels", "points")
        assert kinds == {("boxes", "embeddings"), point, ("boxes", *point)}
        assert {batch["corrections"] for batch in batches} == {0, 1, 2, 3, 4}
        places = []
        for batch in batches:
            if "points" in batch["image"]:
                assert batch["image"]["labels"].tolist() == [[1]]
                (x, y) = batch["image"]["points"][0, 0].int().tolist()
                assert batch["label"][0, 0, y, x] == 1
                places.append((x, y))
        assert len(set(places)) > len(places) / 2

        def drawn(batches: list[dict[str, Any]]) -> str:
            return str([(batch["corrections"], batch["image"].get("points")) for batch in batches])

        assert drawn(epoch(1)) == drawn(batches)
        assert drawn(epoch(2)) != drawn(batches) != drawn(epoch(1, seed=3))

    def test_empty_mask_keeps_the_batch_whole(self, tmp_path: Path) -> None:
        empty = np.zeros((48, 64), dtype=np.uint8)
        dataset = dataset_of(tmp_path, tiny_network(), predictor=lambda _: empty)
        (batch,) = EmbeddingLoader(dataset, 5, "box_and_points", points=2, negative_points=1, workers=1)
        assert batch["image"]["boxes"].tolist() == [[0, 0, 64, 48]] * 5
        assert batch["image"]["points"].shape == (5, 3, 2)
        assert batch["label"].sum() > 0

    def test_prompts_may_come_from_a_prediction(self, tmp_path: Path) -> None:
        predicted = np.zeros((48, 64), dtype=np.uint8)
        predicted[10:20, 30:50] = 1
        dataset = dataset_of(tmp_path, tiny_network(), predictor=lambda _: predicted)
        (batch,) = EmbeddingLoader(dataset, 5, workers=1)
        assert batch["image"]["boxes"].tolist() == [[30, 10, 50, 20]] * 5

    def test_lost_embedding_is_computed_again(self, tmp_path: Path) -> None:
        dataset = dataset_of(tmp_path, tiny_network())
        before = dataset[1][0]
        dataset.files[1].unlink()
        assert torch.equal(dataset[1][0], before)

    def test_refusals(self, tmp_path: Path) -> None:
        dataset = dataset_of(tmp_path, tiny_network())
        for arguments in ({"batch_size": 0}, {"jitter": 0.5}):
            with pytest.raises(InputError, match="cannot work"):
                EmbeddingLoader(dataset, **arguments)
        with pytest.raises(InputError, match="'blob'"):
            EmbeddingLoader(dataset, kind="blob")
        with pytest.raises(InputError, match="'blob'"):
            PromptTraining(tiny_network(), "blob")
