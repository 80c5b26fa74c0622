"""The notebooks, run from top to bottom on a few phantoms, and the pictures that are committed with them."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"
SMALL = {
    "first_steps": {
        "COUNT, SIZE": (12, 64),
        "RECIPE": "--max_epochs 1 --batch_size 4",
    },
    "data_fraction": {
        "COUNT, SIZE": (16, 64),
        "KEPT": "kept",
        "VARIANTS": "--seeds 0 --variants unet_50_epochs,unet_100_epochs",
        "RECIPE": '--epochs 1 --image_size "[32,32]" --batch_size 4 --network_def#features "[4,8]"',
    },
}

notebooks = pytest.mark.parametrize("name", sorted(SMALL))


def parameters_of(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    return cell


@notebooks
def test_it_runs_from_top_to_bottom(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"])
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    settings = parameters_of(notebook)
    for setting, value in SMALL[name].items():
        settings.source, count = re.subn(
            rf"^{setting} = .*$", f"{setting} = {value!r}", settings.source, flags=re.MULTILINE
        )
        assert count == 1, f"{name} has no setting {setting}"
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    text = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    if name == "first_steps":
        assert (tmp_path / "work" / "evaluation" / "summary.json").is_file()
        assert len(list((tmp_path / "work" / "own").glob("*_segmentation.png"))) == 12
    else:
        # the second time they were found so
        assert text.count("data_fraction: 2 of 2 runs are finished") >= 2
        assert (tmp_path / "kept" / "report" / "data_fraction" / "summary.csv").is_file()


@notebooks
def test_outputs_are_committed(name: str) -> None:
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
    # what is committed was made with the settings that it shows, which draw phantoms
    assert "SOURCE = None" in parameters_of(notebook).source
