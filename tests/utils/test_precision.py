"""Devices and precisions are chosen by what is there, seen by stand-ins for what is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.inferers import SimpleInferer

from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.data.resident import BatchLoader, ResidentDataset
from dermaseg_monai.engines import PhotoEvaluator
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.precision import default_device, half_dtype, mixed_precision
from tests.disc_dataset import write_dataset
from tests.trainings import SETTINGS, TINY_UNET, config_files, folders_of, train


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda:0"), (True, False, "cuda:0"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_fastest_device_is_used(
    cuda: bool, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert default_device() == torch.device(expected)
    parser = ConfigParser(ConfigParser.load_config_file(bundle_folder("lesion_unet") / "configs/train.json"))
    assert parser.get_parsed_content("device") == torch.device(expected)


@pytest.mark.parametrize("bundle", [bundle.name for bundle in BUNDLES])
def test_every_config_takes_that_device(bundle: str) -> None:
    for name in ("train", "inference"):
        config = ConfigParser.load_config_file(bundle_folder(bundle) / "configs" / f"{name}.json")
        assert config["device"] == "$precision.default_device()"
        assert config["amp"] == "$precision.mixed_precision(@device)"


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((6, 1), None), ((7, 0), "float16"), ((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")],
)
def test_nvidia_gpus_compute_in_what_they_have(
    capability: tuple[int, int], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert mixed_precision("cuda:0") == expected


@pytest.mark.parametrize(("bf16", "amx"), [(False, False), (True, False), (False, True)])
def test_other_devices(bf16: bool, amx: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert mixed_precision("cpu") == ("bfloat16" if bf16 or amx else None)
    assert mixed_precision(torch.device("mps")) == "float16"
    assert mixed_precision("meta") is None


@pytest.mark.parametrize(
    ("amp", "expected"),
    [
        (None, None),
        (False, None),
        ("no", None),
        ("bfloat16", torch.bfloat16),
        ("float16", torch.float16),
        (True, torch.float16),
        ("true", torch.float16),
        (torch.bfloat16, torch.bfloat16),
    ],
)
def test_the_setting_is_read(amp: object, expected: torch.dtype | None) -> None:
    assert half_dtype(amp, "mps") is expected


def test_on_means_bfloat16_where_nothing_is_fast() -> None:
    assert half_dtype(True, "meta") is torch.bfloat16
    with pytest.raises(InputError, match="on or off was given as 'float8'"):
        half_dtype("float8", "cpu")


class Recorded(torch.nn.Module):
    """A network that notes in what precision it is run."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 1, 1)
        self.seen: set[tuple] = set()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.layer(x)
        tf32 = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
        self.seen.add((logits.dtype, *tf32))
        return logits


@pytest.fixture
def tf32() -> Iterator[None]:
    """TF32 allowed, as far as this process is concerned."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = True
    yield
    cudnn.allow_tf32, matmul.allow_tf32 = before


@pytest.mark.parametrize(
    ("amp", "expected"),
    [(False, (torch.float32, False, False)), ("bfloat16", (torch.bfloat16, True, True))],
)
def test_photos_are_evaluated_without_tf32(amp: object, expected: tuple, tf32: None) -> None:
    network = Recorded()
    photos = [{"image": torch.zeros(1, 3, 8, 8), "items": [{"id": "a"}]}]
    evaluator = PhotoEvaluator(
        device=torch.device("cpu"), val_data_loader=photos, network=network, inferer=SimpleInferer(), amp=amp
    )
    evaluator.run()
    assert network.seen == {expected}
    assert torch.backends.cudnn.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(
    ("settings", "half"), [({}, None), ({"amp": "bfloat16"}, torch.bfloat16), ({"amp": True}, torch.bfloat16)]
)
def test_evaluation_is_in_float32_unless_told(
    settings: dict, half: torch.dtype | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a processor that has bfloat16."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    dataset = write_dataset(tmp_path / "data")
    train("lesion_unet", dataset, tmp_path, max_epochs=1, **TINY_UNET)
    workflow = ConfigWorkflow(
        config_files("lesion_unet", "train", "evaluate"),
        workflow_type="train",
        run_id="evaluating",
        logging_file=False,
        **folders_of(dataset, tmp_path),
        **{key: value for key, value in SETTINGS.items() if key != "amp"},
        **TINY_UNET,
        **settings,
    )
    workflow.initialize()
    workflow.run()
    assert workflow.parser.get_parsed_content("validate#evaluator").half is half
    summary = json.loads((tmp_path / "output" / "summary.json").read_text())
    assert summary["settings"]["amp"] == settings.get("amp", False)


def test_an_apple_gpu_is_fed_from_host_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is pinned for it, and each batch is moved there before it is augmented."""
    workflow = train("lesion_unet", write_dataset(tmp_path / "data"), tmp_path, max_epochs=1, **TINY_UNET)
    loader = workflow.parser.get_parsed_content("train#dataloader")
    dataset, mps, moved = loader.dataset, torch.device("mps"), []
    there = ResidentDataset(dataset.data, dataset.transform, dataset.cache_dir, mps)
    assert there.streams
    monkeypatch.setattr(torch, "Generator", lambda *_: torch._C.Generator())
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pytest.fail("pinned"))
    to = torch.Tensor.to
    monkeypatch.setattr(
        torch.Tensor,
        "to",
        lambda self, device, *_, **__: (
            moved.append(self) or self if device == mps else to(self, device, *_, **__)
        ),
    )
    batches = list(BatchLoader(there, 4, loader.transform, loader.augment, shuffle=True))
    assert len(moved) == 3 * len(batches) > 0
