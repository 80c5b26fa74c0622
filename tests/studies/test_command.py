"""What ``dermaseg study run`` refuses before any run starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dermaseg_monai.errors import InputError
from dermaseg_monai.studies.command import run_study
from tests.data.discs import write_dataset

from .small import write_file


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"executor": "nonsense"}, "there is no executor 'nonsense'; choose local or ray."),
        ({"tracking": "nonsense"}, "there is no tracking 'nonsense'; choose none or mlflow."),
        ({"gpus_per_run": 2}, "gpus_per_run is 2; give a share above 0, up to 1"),
        ({"gpus_per_run": "half"}, "gpus_per_run is half; give a share above 0, up to 1"),
        ({"device": "cuda:99"}, "there is no device 'cuda:99' on this machine; give cpu"),
    ],
)
def test_wrong_options(dry_run: bool, options: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "discs")
    places = {"dataset_dir": str(dataset), "output": str(tmp_path / "runs")}
    with pytest.raises(InputError) as caught:
        run_study(str(write_file(tmp_path)), dry_run=dry_run, **places, **options)
    assert str(caught.value).startswith(sentence)
    assert not (tmp_path / "runs").exists()
