"""Arguments of another type than a command takes."""

from __future__ import annotations

import inspect
from typing import Any

import fire
import pytest

from dermaseg_monai.cli.arguments import typed
from dermaseg_monai.cli.commands import Commands
from dermaseg_monai.utils.errors import InputError


@typed
def command(
    output: str, count: int = 3, share: float | None = None, names: str | tuple[str, ...] = (), **others: Any
) -> tuple[Any, ...]:
    return output, count, share, names, others


def test_what_fits_passes() -> None:
    assert command(2018) == ("2018", 3, None, (), {})
    assert command("a", 4, share=1, names=("b",), flips=True) == ("a", 4, 1.0, ("b",), {"flips": True})
    assert command("a", share=None)[2] is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"output": True}, "--output is True; give a text"),
        ({"output": ("a", "b")}, "--output is .*; give a text"),
        ({"output": "a", "count": "x"}, "--count is 'x'; give a whole number"),
        ({"output": "a", "count": 1.5}, "--count is 1.5; give a whole number"),
        ({"output": "a", "share": "half"}, "--share is 'half'; give a number"),
    ],
)
def test_what_does_not_costs_one_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        command(**arguments)


@pytest.mark.parametrize(
    ("typed_words", "expected"),
    [
        (["2024_03_04"], ("2024_03_04", 3, None, (), {})),
        (["--output=007", "--count", "4"], ("007", 4, None, (), {})),
        (["1e5", "--share", "0.5", "--names", "a,b"], ("1e5", 3, 0.5, ("a", "b"), {})),
        (["out", "--names", "2024_03"], ("out", 3, None, "2024_03", {})),
        (["out", "--ckpt_dir", "2024_03_04", "--flips", "[horizontal]"],
         ("out", 3, None, (), {"ckpt_dir": "2024_03_04", "flips": ["horizontal"]})),
        (["out", "--start_from", "None", "--batch_size", "4"],
         ("out", 3, None, (), {"start_from": None, "batch_size": 4})),
        (["--output=~/masks", "--ckpt_dir=~"], ("/home/of/me/masks", 3, None, (), {"ckpt_dir": "/home/of/me"})),
    ],
)  # fmt: skip
def test_texts_stay_as_they_were_typed(
    monkeypatch: pytest.MonkeyPatch, typed_words: list[str], expected: tuple[Any, ...]
) -> None:
    monkeypatch.setenv("HOME", "/home/of/me")
    assert fire.Fire(command, typed_words, serialize=lambda _: "") == expected


@pytest.mark.parametrize(
    ("typed_words", "sentence"),
    [
        (["--output"], "--output is True; give a text"),
        (["out", "--count", "many"], "--count is 'many'; give a whole number"),
        (["out", "--image_size", "256"], "--image_size is 256; give two whole numbers"),
        (["out", "--threshold", "50"], "--threshold is 50; give a number from 0 to 1"),
        (["out", "--crop_lens", "perhaps"], "--crop_lens is 'perhaps'; give true or false"),
    ],
)
def test_typed_values_that_cannot_be_cost_one_sentence(typed_words: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        fire.Fire(command, typed_words)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("true", True),
        ("False", False),
        ("false", False),
        ("no", False),
        ("off", False),
        ("1", True),
        ("0", False),
    ],
)
def test_a_switch_reads_every_usual_word(word: str, expected: bool) -> None:
    @typed
    def switched(quick: bool = False) -> bool:
        return quick

    assert fire.Fire(switched, ["--quick", word], serialize=lambda _: "") is expected
    with pytest.raises(InputError, match="--quick is 'perhaps'; give true or false"):
        fire.Fire(switched, ["--quick", "perhaps"])


def test_one_name_for_one_thing() -> None:
    run, report = (
        inspect.signature(command).parameters for command in (Commands.study.run, Commands.study.report)
    )
    assert {"name", "runs", "dataset_dir"} <= run.keys() & report.keys()
    assert run["runs"].default == report["runs"].default
    commands = [command for name, command in vars(Commands).items() if not name.startswith("_")]
    commands = [
        *(each for each in commands if not inspect.isclass(each)),
        Commands.study.run,
        Commands.study.report,
    ]
    names = {name for command in commands for name in inspect.signature(command).parameters}
    assert {"bundle", "dataset_dir", "output", "section"} <= names
    others = {"output_dir", "folder", "data", "data_dir", "images", "runs_dir", "study_dir", "dicom_outline"}
    assert not names & others


def test_every_command_is_checked() -> None:
    with pytest.raises(InputError, match="--count is 'many'"):
        Commands().phantom("out", "many")
    with pytest.raises(InputError, match="--epochs is 'x'"):
        Commands.study.run("loss", epochs="x", dry_run=True)
    with pytest.raises(InputError, match="--port is 'x'"):
        Commands().app(port="x")
