"""Overrides of config ids: taken as they were typed, and named where they are misspelt."""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dermaseg_monai.bundle.config_ids import nearest_id, unread_ids
from dermaseg_monai.bundle.settings import checked, from_command_line
from dermaseg_monai.utils.errors import InputError

logger = logging.getLogger(__name__)

_ARGUMENTS = {
    "run_id",
    "init_id",
    "final_id",
    "meta_file",
    "config_file",
    "logging_file",
    "tracking",
    "args_file",
    "workflow_type",
    "workflow_name",
    "properties_path",
}
_TRACKING = {"tracking_uri", "experiment_name", "run_name", "save_execute_config"}


def check_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse overrides that the config does not know, or whose values its ids do not take.

    Args:
        config: the config as a dictionary.
        overrides: values by id.

    Returns:
        The overrides, with the home folder in place of ``~``.

    Raises:
        InputError: an id is unknown, where the nearest one is named, or takes no such value.
    """
    for name in unread_ids(config, overrides):
        raise InputError(f"the config has no id '{name}'{nearest_id(config, name) or '.'}")
    return {name: checked(name, value) for name, value in overrides.items()}


def take_as_typed() -> None:
    """Under ``python -m monai.bundle run``, give the config what was typed, if its ids take all their values.

    MONAI leaves out what the command line sets to None, so that the config's own value would stand, and makes a
    number of a folder called ``2024_03_04``. The values of config files and of ``--args_file`` are checked with those
    of the command line. An expression of a config cannot refer to the config as a whole; the parser that evaluates it
    is found on the stack. Elsewhere this does nothing.

    Raises:
        InputError: an id takes no such value.
    """
    if not under_bundle_run():
        return
    from fire.parser import DefaultParseValue
    from monai.bundle import ConfigParser

    frames = (frame.f_locals.get("self") for frame, _ in traceback.walk_stack(None))
    parser = next(caller for caller in frames if isinstance(caller, ConfigParser))
    texts = {name: text for name, text in _command_line(sys.argv[2:]).items() if name not in _ARGUMENTS}
    typed = {name: checked(name, from_command_line(name, text)) for name, text in texts.items()}
    config: Any = parser.config
    read = {name: checked(name, value) for name, value in config.items() if name not in typed}
    other = {name: value for name, value in read.items() if config[name] != value}
    for name, value in typed.items():
        if value is None or DefaultParseValue(texts[name]) != value:
            other[name] = value
    if other:
        parser.update(other)
        parser.parse(reset=True)


def warn_unknown_overrides() -> None:
    """Under ``python -m monai.bundle run``, warn of each override on the command line that nothing reads.

    MONAI adds an unknown id to the config without a word. The command line is read again here, as MONAI reads
    it: config files (also several), ``--args_file``, ids with ``#``. Elsewhere, and on all but the first of
    several processes, this does nothing.
    """
    if not under_bundle_run() or os.environ.get("RANK", "0") != "0":
        return
    from fire.parser import DefaultParseValue
    from monai.bundle import ConfigParser

    options = {name: DefaultParseValue(text) for name, text in _command_line(sys.argv[2:]).items()}
    if "args_file" in options:
        options = {**ConfigParser.load_config_file(options["args_file"]), **options}
    parser = ConfigParser()
    parser.read_config(options["config_file"])
    config: Any = parser.config
    known = _ARGUMENTS | (_TRACKING if "tracking" in options else set())
    overrides = {name: value for name, value in options.items() if name not in known}
    for name in unread_ids(config, overrides):
        logger.warning("--%s changes nothing: the config has no such id%s", name, nearest_id(config, name))


def under_bundle_run() -> bool:
    """Whether this process is ``python -m monai.bundle run``."""
    return Path(sys.argv[0]).parts[-3:] == ("monai", "bundle", "__main__.py") and sys.argv[1:2] == ["run"]


def _command_line(arguments: Sequence[str]) -> dict[str, str]:
    """The texts of options by name, told apart the way Python Fire does."""
    options: dict[str, str] = {}
    name = None
    for argument in arguments:
        flag = re.fullmatch(r"--?([A-Za-z][^=]*)(?:=(.*))?", argument, flags=re.DOTALL)
        if flag:
            name = flag[1].replace("-", "_")
            options[name] = "True" if flag[2] is None else flag[2]
        elif name is not None:
            options[name] = argument
            name = None
    return options
