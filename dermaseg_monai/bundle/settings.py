"""Kinds and ranges of the configs' ids, by which values are checked before anything runs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.flags import SWITCH_WORDS
from dermaseg_monai.utils.modes import MODES


@dataclass(frozen=True)
class Setting:
    """What values an id takes.

    Attributes:
        words: the values in words, as they follow "give".
        accepts: whether a value is one of them.
        is_text: whether a value is taken as it was typed, also where it looks like a number.
    """

    words: str
    accepts: Callable[[Any], bool]
    is_text: bool = False

    def or_none(self) -> Setting:
        """The same, or None."""
        return Setting(
            f"{self.words}, or None", lambda value: value is None or self.accepts(value), self.is_text
        )


def _whole(least: int) -> Setting:
    return Setting(f"a whole number of at least {least}", lambda value: _is_whole(value) and value >= least)


def _number(words: str, accepts: Callable[[float], bool]) -> Setting:
    return Setting(f"a number {words}", lambda value: _is_number(value) and accepts(value))


def _share(most: float = 1.0) -> Setting:
    return _number(f"from 0 to {most:g}", lambda value: 0 <= value <= most)


def _choice(*words: str) -> Setting:
    return Setting(f"one of {', '.join(words)}", lambda value: value in words)


def _several(words: str, accepts: Callable[[Any], bool], count: int | None = None) -> Setting:
    def accept(value: Any) -> bool:
        several = isinstance(value, list | tuple) and count in (None, len(value))
        return several and all(accepts(entry) for entry in value)

    return Setting(words, accept)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) and bool(os.fspath(value))


def _is_part(value: Any) -> bool:
    return _is_number(value) and 0 < value <= 1


_SWITCH = Setting(
    "true or false",
    lambda value: value in (0, 1) or str(value).strip().lower() in SWITCH_WORDS,
)
_TEXT = Setting("a text", _is_text, is_text=True)
_FOLDERS = _several("a list of folders", _is_text)
_POSITIVE = _number("above 0", lambda value: value > 0)
_SHARES = _several("a list of numbers of at least 0", lambda value: _is_number(value) and value >= 0)
_COLOUR = _several("three numbers, one for each colour", _is_number, 3)
_THRESHOLDS = Setting(
    "a number from 0 to 1, or a list of five",
    lambda value: _share().accepts(value) or _several("", _share().accepts, 5).accepts(value),
)

SETTINGS: Mapping[str, Setting] = {
    **dict.fromkeys(("bundle_root", "ckpt_dir", "output_dir", "cache_dir", "predicted_by"), _TEXT),
    **dict.fromkeys(
        ("encoder_weights", "start_from", "lesion_bundle", "prompts_file", "weights", "metadata"),
        _TEXT.or_none(),
    ),
    **dict.fromkeys(("batch_size", "max_epochs", "val_interval"), _whole(1)),
    **dict.fromkeys(("seed", "patience", "points", "negative_points", "num_workers"), _whole(0)),
    **dict.fromkeys(("opening", "closing"), _share(0.1)),
    **dict.fromkeys(("rare_below", "cache_rate", "remove_small"), _share()),
    **dict.fromkeys(
        (
            *(
                "crop_lens",
                "largest_component",
                "fill_holes",
                "uncertainty",
                "outlines",
                "save_masks",
                "strata",
                "resume",
                "auto_batch",
            ),
            *("cuda_graph", "train_prompt_encoder", "sync_batchnorm"),
        ),
        _SWITCH,
    ),
    "dataset_dir": Setting(
        "a folder, or a list of folders", lambda value: _is_text(value) or _FOLDERS.accepts(value), True
    ),
    "device": Setting(
        "a device, such as cpu or cuda:0",
        lambda value: not (value is None or _is_number(value) or value == ""),
        True,
    ),
    "data_fraction": Setting(
        "a number above 0, up to 1, or a list with one for each folder",
        lambda value: _is_part(value) or (isinstance(value, list | tuple) and all(map(_is_part, value))),
    ),
    "amp": Setting(
        "true, false, bfloat16 or float16",
        lambda value: value in ("bfloat16", "float16", None) or _SWITCH.accepts(value),
    ),
    "fold": _whole(0).or_none(),
    "learning_rate": _POSITIVE,
    **dict.fromkeys(("clip_norm", "pixels_per_mm"), _POSITIVE.or_none()),
    **dict.fromkeys(
        ("encoder_rate", "surface_tolerance"), _number("of at least 0", lambda value: value >= 0)
    ),
    "prompt_jitter": _share(0.4),
    "threshold": _THRESHOLDS,
    "image_size": _several(
        'two whole numbers, such as "[256,256]"', lambda value: _is_whole(value) and value > 0, 2
    ),
    "mean": _COLOUR,
    "std": _several(
        "three numbers above 0, one for each colour", lambda value: _is_number(value) and value > 0, 3
    ),
    "aspect": _choice("squash", "pad"),
    "mode": _choice(*MODES),
    "task": _choice("lesion", "attribute"),
    "section": _choice("training", "validation", "test", "fold"),
    "prompt_kind": _choice("box", "points", "box_and_points", "mixed"),
    "threshold_objective": _choice("macro", "micro"),
    "class_weights_by": _choice("presence", "attribute"),
    "flips": _several(
        'a list such as "[horizontal,vertical,both]"',
        lambda value: value in ("horizontal", "vertical", "both"),
    ),
    "ensemble": _several("a list of bundles", _is_text),
    "ensemble_weights": _SHARES.or_none(),
}
"""The setting of each id that is a plain value; an id that is not here is checked by what reads it."""


def checked(name: str, value: Any) -> Any:
    """A value of the config, if its id takes it.

    Args:
        name: the id.
        value: as it was given; expressions (``$...``), references (``@...``, ``%...``) and values of ids without a
            setting pass.

    Returns:
        The value; in a text, ``~`` at its start is the home folder.

    Raises:
        InputError: the id takes no such value.
    """
    setting = SETTINGS.get(name)
    if setting is None or (isinstance(value, str) and value.startswith(("$", "@", "%"))):
        return value
    if not setting.accepts(value):
        raise InputError(f"--{name} is {value!r}; give {setting.words}.")
    if setting.is_text and isinstance(value, list | tuple):
        return [os.path.expanduser(entry) for entry in value]
    return os.path.expanduser(value) if setting.is_text and isinstance(value, str) else value


def from_command_line(name: str, text: str) -> Any:
    """The value of an id that was typed: as it stands where the id takes a text, else as Python Fire reads it."""
    from fire.parser import DefaultParseValue

    value = DefaultParseValue(text)
    setting = SETTINGS.get(name)
    # None, and a list where an id takes one as well, are no texts
    keep = (
        setting is not None
        and setting.is_text
        and value is not None
        and not isinstance(value, list | tuple | dict)
    )
    return text if keep else value
