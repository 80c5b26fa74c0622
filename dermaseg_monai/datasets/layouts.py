"""Layouts of data sets: which files are photos and which are masks, by the names of their folders."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from dermaseg_monai.datasets import isic2018
from dermaseg_monai.datasets.sources import SourceFile
from dermaseg_monai.utils.errors import InputError

SortedFiles = dict[tuple[str, str], dict[str, SourceFile]]
"""For each (section, role) the files by image id; roles are "image", "lesion" and the attribute names."""

_MASK_ENDING = re.compile(
    r"[-_ .](segmentation|mask|lesion|label|labels|seg|gt|ground_?truth|annotation)s?$", re.IGNORECASE
)
_MASK_BEGINNING = re.compile(r"^(segmentation|mask|lesion|label|seg)[-_ .]", re.IGNORECASE)
_PHOTO_ENDING = re.compile(r"[-_ .](image|img|photo)$", re.IGNORECASE)
_TEXTS = re.compile(r"(license|attribution|readme|citation|metadata)", re.IGNORECASE)
_TEXT_SUFFIXES = (".txt", ".md", ".csv", ".json", ".xlsx", ".db")


@dataclass(frozen=True)
class Layout:
    """How a data set's files are laid out.

    Attributes:
        name: as ``--layout`` takes it.
        title: of the data set; empty for folders of one's own.
        folders: (section, kind) of each folder, the kinds being "image", "lesion" and "attribute". Archives count as
            folders of their names without ``.zip``.
        patterns: whether the folders are regular expressions rather than names.
        has_split: whether the data set has an official split.
        metadata: name (without ending) of its table of photos, by which they are grouped; None where there is none.
    """

    name: str
    title: str
    folders: Mapping[str, tuple[str, str]]
    patterns: bool = False
    has_split: bool = False
    metadata: str | None = None

    @cached_property
    def _expressions(self) -> list[tuple[re.Pattern[str], tuple[str, str]]]:
        texts = {text if self.patterns else re.escape(text): key for text, key in self.folders.items()}
        return [(re.compile(text, re.IGNORECASE), key) for text, key in texts.items()]

    @property
    def sections(self) -> tuple[str, ...]:
        """The parts that it has, of training, validation and test."""
        parts = {section for section, _ in self.folders.values()}
        return tuple(section for section in isic2018.SECTIONS if section in parts)

    def folder_of(self, section: str, kind: str) -> str:
        """The folder where files of one kind lie, as it is called in messages."""
        return next(name for name, key in self.folders.items() if key == (section, kind))

    def kind_of(self, path: str) -> tuple[str, str] | None:
        """The (section, kind) of the innermost folder of ``path`` that has one, or None."""
        *folders, _ = path.replace("\\", "/").split("/")
        for folder in reversed(folders):
            name = re.sub(r"\.zip$", "", folder, flags=re.IGNORECASE)
            for expression, key in self._expressions:
                if expression.fullmatch(name):
                    return key
        return None


_PARTS = {"training": "Training", "validation": "Validation", "test": "Test"}
ISIC_2018 = Layout(
    "isic2018",
    "ISIC 2018",
    {archive.folder: key for key, archive in isic2018.ARCHIVES.items()},
    has_split=True,
)
ISIC_2017 = Layout(
    "isic2017",
    "ISIC 2017",
    {
        f"ISIC-2017_{part}{'_v2' if part == 'Test' else ''}_{name}": (section, kind)
        for section, part in _PARTS.items()
        for name, kind in (("Data", "image"), ("Part1_GroundTruth", "lesion"))
    },
    has_split=True,
)
ISIC_2016 = Layout(
    "isic2016",
    "ISIC 2016",
    {
        f"ISBI2016_ISIC_Part1_{_PARTS[section]}_{name}": (section, kind)
        for section in ("training", "test")
        for name, kind in (("Data", "image"), ("GroundTruth", "lesion"))
    },
    has_split=True,
)
HAM10000 = Layout(
    "ham10000",
    "HAM10000",
    {
        "HAM10000_images_part_1": ("training", "image"),
        "HAM10000_images_part_2": ("training", "image"),
        "HAM10000_images": ("training", "image"),
        "HAM10000_segmentations_lesion_tschandl": ("training", "lesion"),
    },
    metadata="HAM10000_metadata",
)
PH2 = Layout(
    "ph2",
    "PH2",
    {r"IMD\d+_Dermoscopic_Image": ("training", "image"), r"IMD\d+_lesion": ("training", "lesion")},
    patterns=True,
)
FOLDERS = Layout(
    "folders",
    "",
    {
        **dict.fromkeys(("images", "photos"), ("training", "image")),
        **dict.fromkeys(("masks", "labels", "segmentations"), ("training", "lesion")),
    },
)
LAYOUTS = (ISIC_2018, ISIC_2017, ISIC_2016, HAM10000, PH2, FOLDERS)


def recognise(files: Iterable[SourceFile], source: object, name: str | None = None) -> Layout:
    """Choose the layout by the names of the folders that hold photos.

    Args:
        files: of the source.
        source: its folder, for messages.
        name: of the layout, where it was given.

    Returns:
        The layout; folders of one's own only where no other fits.

    Raises:
        InputError: the name is unknown, or none or several data sets lie in the source.
    """
    if name is not None:
        chosen = next((layout for layout in LAYOUTS if layout.name == name), None)
        if chosen is None:
            known = ", ".join(layout.name for layout in LAYOUTS)
            raise InputError(f"there is no layout {name!r}; the ones known are {known}.")
        return chosen
    # a kind is that of the folder: each is looked at once, not each of its files
    folders = {file.name.removesuffix(file.file_name) for file in files if not _is_text(file.file_name)}
    matches = [layout for layout in LAYOUTS if any(map(layout.kind_of, folders))]
    if len(matches) > 1:
        matches = [layout for layout in matches if layout is not FOLDERS]
    if not matches:
        raise InputError(
            f"the source folder {source} holds no photos in a layout that is known; put the archives or folders of "
            f"ISIC 2016, 2017 or 2018 ({ISIC_2018.folder_of('training', 'image')} ...), HAM10000 or PH2 there, or two "
            "folders images and masks of your own."
        )
    if len(matches) > 1:
        titles = " and ".join(layout.title for layout in matches)
        choices = " or ".join(f"--layout {layout.name}" for layout in matches)
        raise InputError(f"the source folder {source} holds {titles}; choose by {choices}.")
    return matches[0]


def collect(layout: Layout, files: Iterable[SourceFile]) -> tuple[SortedFiles, list[str]]:
    """Sort files into photos and masks.

    A mask belongs to the photo of the same name, or of the name without an ending such as ``_segmentation`` on the
    mask's side and ``_image`` on the photo's. Where an
    archive and its unpacked folder both lie in the source, the archive is read: it is whole and carries CRCs.

    Args:
        layout: of the data set.
        files: of the source.

    Returns:
        The files of each (section, role) by image id, and the names of those in the layout's folders that are
        neither photo nor mask, apart from texts and superpixels.

    Raises:
        InputError: an id comes twice.
    """
    entries = [(key, file) for file in files if (key := layout.kind_of(file.name)) is not None]
    packed = {key for key, file in entries if file.archive is not None}
    entries = [(key, file) for key, file in entries if file.archive is not None or key not in packed]
    sorted_files: SortedFiles = {}
    passed: list[str] = []
    for (section, kind), file in entries:
        if kind == "image" and file.is_photo() and not isic2018.is_mask(file.file_name):
            _add(sorted_files, (section, "image"), PurePosixPath(file.file_name).stem, file)
        elif kind == "image" and not isic2018.is_mask(file.file_name) and not _is_text(file.file_name):
            passed.append(file.name)
    # of photos with an ending of their own, by the name without
    bare = {
        section: {
            short: name
            for name in sorted_files.get((section, "image"), {})
            if (short := _PHOTO_ENDING.sub("", name)) not in sorted_files[section, "image"]
        }
        for section in layout.sections
    }
    for (section, kind), file in entries:
        if kind == "image":
            continue
        stem = PurePosixPath(file.file_name).stem
        if not file.is_photo():
            passed += [] if _is_text(file.file_name) else [file.name]
        elif kind == "lesion":
            photos = sorted_files.get((section, "image"), {})
            name = photo_of(stem, photos)
            _add(sorted_files, (section, "lesion"), bare[section].get(name, name), file)
        else:
            attribute = next(
                (name for name in isic2018.ATTRIBUTES if stem.lower().endswith(f"_attribute_{name}")), None
            )
            if attribute is None:
                passed.append(file.name)
            else:
                _add(sorted_files, (section, attribute), stem[: -len(f"_attribute_{attribute}")], file)
    return sorted_files, passed


def photo_of(stem: str, photos: Container[str]) -> str:
    """The photo that a lesion mask is of: of the same name, or of the name without an ending such as ``_segmentation``
    or a beginning such as ``mask_``.

    Args:
        stem: name of the mask's file, without its suffix.
        photos: names that there are.
    """
    if stem in photos:
        return stem
    short = _MASK_ENDING.sub("", stem)
    return short if short != stem else _MASK_BEGINNING.sub("", stem)


def metadata_of(layout: Layout, files: Iterable[SourceFile]) -> SourceFile | None:
    """The table of a data set's photos, where the layout has one and it lies in the source."""
    names = {f"{layout.metadata}{ending}".lower() for ending in ("", ".csv", ".tab", ".txt")}
    return next((file for file in files if layout.metadata and file.file_name.lower() in names), None)


def _is_text(file_name: str) -> bool:
    return bool(_TEXTS.match(file_name)) or file_name.lower().endswith(_TEXT_SUFFIXES)


def _add(sorted_files: SortedFiles, key: tuple[str, str], name: str, file: SourceFile) -> None:
    files = sorted_files.setdefault(key, {})
    if name in files:
        raise InputError(
            f"the {key[1].replace('_', ' ')} file of {name} comes twice, as {files[name].name} and {file.name}; keep "
            "one of them."
        )
    files[name] = file
