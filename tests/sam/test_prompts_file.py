"""Prompts that a person wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dermaseg_monai.sam import Prompt, read_prompts
from dermaseg_monai.sam.prompts_file import check_inside
from dermaseg_monai.utils.errors import InputError


def read(tmp_path: Path, content: Any) -> dict[str, list[Prompt]]:
    path = tmp_path / "prompts.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_prompts(path)


def test_forms(tmp_path: Path) -> None:
    entries = read(
        tmp_path,
        {
            "a": {"boxes": [[1, 2, 30, 40]]},
            "b.jpg": {"points": [[5, 6.5], [9, 9]], "labels": [1, 0]},
            "c": {"boxes": [[1, 2, 30, 40]], "points": [[5, 6], [90, 90]], "labels": [1, 0]},
            "d": {
                "boxes": [[0, 0, 10, 10], [20, 20, 30, 30]],
                "points": [[5, 5], [25, 25], [15, 15]],
                "labels": [1, 1, 0],
            },
        },
    )
    assert entries["a"] == [Prompt((1.0, 2.0, 30.0, 40.0))]
    assert entries["b.jpg"] == [Prompt(None, ((5.0, 6.5), (9.0, 9.0)), (1, 0))]
    assert entries["c"] == [Prompt((1.0, 2.0, 30.0, 40.0), ((5.0, 6.0), (90.0, 90.0)), (1, 0))]
    assert entries["d"] == [
        Prompt((0.0, 0.0, 10.0, 10.0), ((5.0, 5.0), (15.0, 15.0)), (1, 0)),
        Prompt((20.0, 20.0, 30.0, 30.0), ((25.0, 25.0), (15.0, 15.0)), (1, 0)),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ([], "an object with an entry for each photo"),
        ({"a": [1]}, "entry 'a' is no object"),
        ({"a": {"box": [[1, 2, 3, 4]]}}, "entry 'a' has the unknown field 'box'"),
        ({"a": {"boxes": 3}}, "entry 'a', boxes is no list"),
        ({"a": {"boxes": [[1, 2, 3]]}}, r"entry 'a', boxes\[0\] is \[1, 2, 3\]; give \[left"),
        ({"a": {"boxes": [[1, 2, 3, "4"]]}}, r"entry 'a', boxes\[0\] .* as numbers"),
        ({"a": {"boxes": [[1, 2, 3, True]]}}, r"entry 'a', boxes\[0\] .* as numbers"),
        ({"a": {"boxes": [[0, 0, 5, 5], [5, 2, 5, 9]]}}, r"entry 'a', boxes\[1\] .* right must be greater"),
        ('{"a": {"points": [[NaN, 1]], "labels": [1]}}', r"entry 'a', points\[0\] .* as numbers"),
        ({"a": {"points": [[1, 1]]}}, "entry 'a', labels: there are 0 labels for 1 points"),
        ({"a": {"points": [[1, 1]], "labels": [2]}}, r"entry 'a', labels\[0\] is 2"),
        ({"a": {"points": [[1, 1]], "labels": [True]}}, r"entry 'a', labels\[0\] is True"),
        ({"a": {"points": [[1, 1]], "labels": [0]}}, "entry 'a', labels: no point lies on the lesion"),
        ({"a": {}}, "entry 'a' has neither boxes nor points"),
        (
            {"a": {"boxes": [[0, 0, 5, 5], [6, 6, 9, 9]], "points": [[5.5, 5.5]], "labels": [1]}},
            r"entry 'a', points\[0\] lies in none of the boxes",
        ),
    ],
)
def test_refusals_name_entry_and_field(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, content)
    assert "prompts.json" in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no"):
        read_prompts(tmp_path / "none.json")


def test_beyond_the_photo() -> None:
    check_inside([Prompt((0.0, 0.0, 20.0, 10.0))], (10, 20), "a")
    with pytest.raises(InputError, match=r"entry 'a': boxes has \(21, 10\), beyond the photo of 20 x 10"):
        check_inside([Prompt((0.0, 0.0, 21.0, 10.0))], (10, 20), "a")
    with pytest.raises(InputError, match="points has"):
        check_inside([Prompt(None, ((5.0, 11.0),), (1,))], (10, 20), "a")
