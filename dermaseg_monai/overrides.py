"""Overrides that MONAI would pass over: None, and misspelt ids, which are told with the one likely meant."""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dermaseg_monai.errors import InputError
from dermaseg_monai.zoo.config_ids import nearest_id, unread_ids

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


def check_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
    """Refuse overrides that the config does not know.

    Args:
        config: the config as a dictionary.
        overrides: values by id.

    Raises:
        InputError: an id is unknown; the nearest one is named.
    """
    for name in unread_ids(config, overrides):
        raise InputError(f"the config has no id '{name}'{nearest_id(config, name)}.")


def take_none() -> None:
    """Under ``python -m monai.bundle run``, give the config what the command line sets to None.

    MONAI leaves such overrides out, so that the config's own value would stand. An expression of a config cannot
    refer to the config as a whole; the parser that evaluates it is found on the stack. Elsewhere this does nothing.
    """
    if not under_bundle_run():
        return
    from monai.bundle import ConfigParser

    given = _command_line(sys.argv[2:])
    nones = {name: None for name, value in given.items() if value is None and name not in _ARGUMENTS}
    if nones:
        frames = (frame.f_locals.get("self") for frame, _ in traceback.walk_stack(None))
        parser = next(caller for caller in frames if isinstance(caller, ConfigParser))
        parser.update(nones)
        parser.parse(reset=True)


def warn_of_unread() -> None:
    """Under ``python -m monai.bundle run``, warn of each override on the command line that nothing reads.

    MONAI adds an unknown id to the config without a word. The command line is read again here, as MONAI reads
    it: config files (also several), ``--args_file``, ids with ``#``. Elsewhere, and on all but the first of
    several processes, this does nothing.
    """
    if not under_bundle_run() or os.environ.get("RANK", "0") != "0":
        return
    from monai.bundle import ConfigParser

    given = _command_line(sys.argv[2:])
    if "args_file" in given:
        given = {**ConfigParser.load_config_file(given["args_file"]), **given}
    parser = ConfigParser()
    parser.read_config(given["config_file"])
    config: Any = parser.config
    known = _ARGUMENTS | (_TRACKING if "tracking" in given else set())
    overrides = {name: value for name, value in given.items() if name not in known}
    for name in unread_ids(config, overrides):
        logger.warning("--%s changes nothing: the config has no such id%s", name, nearest_id(config, name))


def under_bundle_run() -> bool:
    """Whether this process is ``python -m monai.bundle run``."""
    return Path(sys.argv[0]).parts[-3:] == ("monai", "bundle", "__main__.py") and sys.argv[1:2] == ["run"]


def _command_line(arguments: Sequence[str]) -> dict[str, Any]:
    """Options by name, the way Python Fire takes them."""
    from fire.parser import DefaultParseValue

    options: dict[str, Any] = {}
    name = None
    for argument in arguments:
        flag = re.fullmatch(r"--?([A-Za-z][^=]*)(?:=(.*))?", argument, flags=re.DOTALL)
        if flag:
            name = flag[1].replace("-", "_")
            options[name] = True if flag[2] is None else DefaultParseValue(flag[2])
        elif name is not None:
            options[name] = DefaultParseValue(argument)
            name = None
    return options
