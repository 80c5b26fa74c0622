"""Checks of a bundle's folder or archive before it is shared or used."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata as installed
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import jsonschema
import yaml
from packaging.version import InvalidVersion, Version
from tqdm import tqdm

from dermaseg_monai.bundle.files import WEIGHTS, bundle_files, read_metadata
from dermaseg_monai.bundle.folder import BundleFolder
from dermaseg_monai.sharing.archive import unpack
from dermaseg_monai.sharing.install import changed_files
from dermaseg_monai.sharing.pack import INDEX, SUMS
from dermaseg_monai.sharing.screen import screen
from dermaseg_monai.utils.errors import InputError, find_input_error
from dermaseg_monai.utils.files import sha256
from dermaseg_monai.utils.words import number_of

Outcome = Literal["pass", "FAIL", "-"]

_SCHEMA = resources.files("dermaseg_monai.bundle") / "base" / "metadata_schema.json"
_SCHEMA_DATE = "20240725"
_WORKFLOWS = (("train", ("train",)), ("train", ("train", "evaluate")), ("infer", ("inference",)))


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        name: of the check.
        outcome: "pass", "FAIL", or "-" where there was nothing to check.
        seen: what was found, in a few words.
    """

    name: str
    outcome: Outcome
    seen: str


class _FailedError(Exception):
    """A check found something wrong."""


class _NothingError(Exception):
    """There was nothing to check."""


def verify(path: str | os.PathLike[str], untrusted: bool = False) -> list[Check]:
    """Check everything about a bundle that can be checked without data.

    Args:
        path: a bundle's folder, or its archive.
        untrusted: screen it first, and neither build nor load anything unless the screen lets all of it through.

    Returns:
        A row for each check, in their order.

    Raises:
        InputError: there is nothing at ``path``.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"there is no {path} to verify; give a bundle's folder or zip.")
    checks = [_run("hashes", lambda: _hashes(path))]
    with _folder_of(path, checks) as folder:
        if folder is None:
            return checks
        checks.append(_run("layout", lambda: _layout(folder)))
        left = (
            ("metadata", _metadata),
            ("versions", _versions),
            ("properties", _properties),
            ("network", _network),
            ("weights", _weights),
        )
        if untrusted:
            checks.append(_run("screen", lambda: _screened(folder)))
            if checks[-1].outcome == "FAIL":
                return [*checks, *(Check(name, "-", "not looked at: the screen failed") for name, _ in left)]
        progress = tqdm(left, desc="verifying", unit="check", mininterval=0, disable=None)
        for name, check in progress:
            progress.set_postfix_str(name)
            checks.append(_run(name, lambda check=check: check(folder)))  # type: ignore[misc]
    return checks


def as_table(checks: list[Check]) -> str:
    """The checks, a line each."""
    rows = [
        ("check", "outcome", "what was seen"),
        *((check.name, check.outcome, check.seen) for check in checks),
    ]
    return "\n".join(f"{name:<12}{outcome:<9}{seen}".rstrip() for name, outcome, seen in rows)


def _run(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, "pass", check())
    except _NothingError as nothing:
        return Check(name, "-", str(nothing))
    except Exception as error:  # whatever a bundle does wrong is a line of the table
        cause = error if isinstance(error, _FailedError) else find_input_error(error)
        text = str(cause) if cause else f"{type(error).__name__}: {_first_cause(error)}"
        return Check(name, "FAIL", " ".join(text.split())[:400])


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@contextmanager
def _folder_of(path: Path, checks: list[Check]) -> Iterator[Path | None]:
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="dermaseg-verify-") as scratch:
        folder = Path(scratch) / "bundle"
        checks.append(_run("archive", lambda: _unpacked(path, folder)))
        yield folder if checks[-1].outcome == "pass" else None


def _unpacked(path: Path, folder: Path) -> str:
    root = unpack(path, folder)
    named = re.fullmatch(r"(?P<name>.+)_v(?P<version>[^_]+)\.zip", path.name)
    version = read_metadata(folder)["version"]
    if named is None or (named["name"], named["version"]) != (root, version):
        raise _FailedError(f"holds {root} {version}, so its name should be {root}_v{version}.zip")
    return f"{root}, every entry within it"


def _hashes(path: Path) -> str:
    if path.is_dir():
        changed = changed_files(path)
        if changed is None:
            raise _NothingError("a folder that was not downloaded")
        if changed:
            raise _FailedError(f"not as downloaded: {', '.join(changed)}")
        return "every file as it was downloaded"
    listed = {**_listed_sums(path.with_name(SUMS)), **_listed_info(path.with_name(INDEX))}
    digest = sha256(path)
    if path.name not in listed:
        raise _NothingError(f"no {SUMS} beside it names it; it has the sha256 {digest}")
    if listed[path.name] != digest:
        raise _FailedError(f"the sha256 is {digest}, listed is {listed[path.name]}")
    return f"sha256 {digest[:12]}... as listed"


def _listed_sums(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return {line[1].lstrip("*"): line[0] for line in lines if len(line) == 2}


def _listed_info(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    return {f"{stem}.zip": entry["checksum"] for stem, entry in json.loads(path.read_bytes()).items()}


def _layout(folder: Path) -> str:
    files = bundle_files(folder)
    if "configs/train.json" not in files and "configs/inference.json" not in files:
        raise _FailedError("it has neither configs/train.json nor configs/inference.json")
    return number_of(len(files), "file")


def _screened(folder: Path) -> str:
    findings = screen(folder)
    if findings:
        raise _FailedError("; ".join(map(str, findings)))
    return "nothing beyond the allow-list"


def _metadata(folder: Path) -> str:
    content = read_metadata(folder)
    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    errors = sorted(
        jsonschema.Draft201909Validator(schema).iter_errors(content), key=lambda error: error.json_path
    )
    if errors:
        raise _FailedError("; ".join(f"{error.json_path}: {error.message}" for error in errors))
    if _SCHEMA_DATE not in content["schema"]:
        raise _FailedError(f"its schema is {content['schema']}, not that of {_SCHEMA_DATE}")
    return f"follows the schema {_SCHEMA_DATE}"


def _versions(folder: Path) -> str:
    content = read_metadata(folder)
    version, changelog = content["version"], content.get("changelog", {})
    if version not in changelog:
        raise _FailedError(f"the changelog does not say what {version} brought")
    newest = max(changelog, key=_version)
    if _version(newest) > _version(version):
        raise _FailedError(f"it is {version}, but the changelog goes up to {newest}")
    problems, older = [], []
    needed = {
        "monai": content["monai_version"],
        "torch": content["pytorch_version"],
        "numpy": content["numpy_version"],
    }
    for package, wanted in {**needed, **content.get("required_packages_version", {})}.items():
        try:
            present = installed.version(package)
        except installed.PackageNotFoundError:
            problems.append(f"{package} is not installed")
            continue
        if _version(present) < _version(wanted):
            older.append(f"{package} {present} (made with {wanted})")
    if problems:
        raise _FailedError("; ".join(problems))
    return f"{version}, in the changelog" + (f"; older here: {', '.join(older)}" if older else "")


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        raise _FailedError(f"{text!r} is no version number") from None


def _properties(folder: Path) -> str:
    """MONAI's check_properties, asked of the configs as they are written: building them would take data."""
    from monai.bundle import ConfigWorkflow

    class Unbuilt(ConfigWorkflow):
        def _get_property(self, name: str, property: dict[str, Any]) -> Any:
            if property["id"] not in self.parser:
                raise AttributeError(name)
            return self.parser[property["id"]]

    checked = []
    for kind, names in _WORKFLOWS:
        files = [folder / "configs" / f"{name}.json" for name in names]
        if not all(file.is_file() for file in files):
            continue
        workflow = Unbuilt(list(map(str, files)), workflow_type=kind, logging_file=False)
        workflow.parser.parse()
        missing = workflow.check_properties()
        if missing:
            raise _FailedError(f"{' + '.join(names)} lacks {', '.join(missing)}")
        checked.append(" + ".join(names))
    return f"complete in {', '.join(checked)}"


def _network(folder: Path) -> str:
    from monai.bundle import verify_net_in_out

    verify_net_in_out(
        "network_def",
        meta_file=str(folder / "configs" / "metadata.json"),
        config_file=str(folder / "configs" / "inference.json"),
        device="cpu",
    )
    shape = read_metadata(folder)["network_data_format"]["inputs"]["image"]
    return (
        f"takes {shape['num_channels']} x {' x '.join(map(str, shape['spatial_shape']))} as its metadata says"
    )


def _weights(folder: Path) -> str:
    if (folder / WEIGHTS).is_file():
        return _loaded(folder)
    if (folder / "large_files.yml").is_file():
        return _named_elsewhere(folder)
    raise _NothingError("none; the bundle is to be trained")


def _loaded(folder: Path) -> str:
    import torch

    try:
        weights = torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True)
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise _FailedError(f"{WEIGHTS} does not load with weights_only: {first}") from error
    if not isinstance(weights, dict) or not all(
        isinstance(value, torch.Tensor) for value in weights.values()
    ):
        raise _FailedError(f"{WEIGHTS} is no state dictionary")
    network = BundleFolder(folder).parts("network_def")["network_def"]
    network.load_state_dict(weights)
    if not all(torch.isfinite(value).all() for value in weights.values() if value.is_floating_point()):
        raise _FailedError(f"{WEIGHTS} has values that are not finite")
    return f"{WEIGHTS} loads with weights_only and fits: {sum(value.numel() for value in weights.values()):,} values"


def _named_elsewhere(folder: Path) -> str:
    entries = yaml.safe_load((folder / "large_files.yml").read_text(encoding="utf-8"))["large_files"]
    for entry in entries:
        path = folder / entry["path"]
        if not re.fullmatch("[0-9a-f]{64}", str(entry.get("hash_val"))):
            raise _FailedError(f"large_files.yml gives {entry['path']} no SHA-256")
        if path.is_file() and sha256(path) != entry["hash_val"]:
            raise _FailedError(f"{entry['path']} has not the SHA-256 of large_files.yml")
    return f"{len(entries)} named in large_files.yml, with SHA-256"
