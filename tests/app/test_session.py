"""What a session keeps, refuses and writes, without a browser."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from dermaseg_monai.app import session as session_module
from dermaseg_monai.app.cards import EMPTY, show_session
from dermaseg_monai.app.models import Model, find_models
from dermaseg_monai.app.session import Session, Sessions, safe_stem
from dermaseg_monai.errors import InputError
from dermaseg_monai.zoo.folders import bundle_folder
from tests.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "lesion_tiny", "lesion_unet")
    return Model(folder, folder / "models")


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path / "session", "token")


def upload(folder: Path, name: str, size: tuple[int, int] = (48, 36)) -> Path:
    """A photo in a folder of its own, as Gradio leaves it."""
    path = folder / str(len(list(folder.iterdir()))) / name
    path.parent.mkdir()
    Image.new("RGB", size, "peru").save(path, format="PNG")
    return path


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("ISIC_0000001.jpg", "ISIC_0000001"),
        ("my photo (2).jpg", "my_photo_2"),
        ("=cmd|' C calc'!A0.png", "cmd_C_calc_A0"),
        ("..png", "photo"),
        ("../../etc/passwd", "passwd"),
        ("Leberfleck übergroß.png", "Leberfleck_übergroß"),
        ("x" * 300 + ".png", "x" * 80),
    ],
)
def test_safe_stem(name: str, stem: str) -> None:
    assert safe_stem(name) == stem


def test_names_do_not_collide_and_tables_hold_no_formula(
    tmp_path: Path, session: Session, model: Model
) -> None:
    files = [upload(tmp_path, name) for name in ("@a.png", "a.png", "A.PNG")]
    session.admit(files)
    assert not any(file.exists() for file in files)
    assert list(session.segment(model, None)) == ["@a.png", "a.png", "A.PNG"]
    rows = list(csv.DictReader(io.StringIO(session.table())))
    assert [row["id"] for row in rows] == ["a", "a-2", "A-3"]
    assert [row["photo"] for row in rows] == ["'@a.png", "a.png", "A.PNG"]
    with zipfile.ZipFile(session.archive()) as archive:
        masks = [name for name in archive.namelist() if name.endswith("_segmentation.png")]
        assert masks == ["a_segmentation.png", "a-2_segmentation.png", "A-3_segmentation.png"]
    assert not list(session.segment(model, None))  # nothing is done twice
    other = Model(model.folder, model.folder / "." / "models" / ".." / "models")
    assert len(list(session.segment(other, None))) == 3  # another bundle begins anew
    session.clear()


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, session: Session, monkeypatch) -> None:
    monkeypatch.setattr(session_module, "MAX_PIXELS", 48 * 36 - 1)
    session.admit([upload(tmp_path, "huge.png"), upload(tmp_path, "small.png", (20, 20))])
    assert [name for name, _ in session.photos] == ["small.png"]
    assert session.refused == [
        ("huge.png", "48 x 36 pixels are more than the limit of 1727; reduce the image first.")
    ]


def test_too_many_photos(tmp_path: Path, session: Session, monkeypatch) -> None:
    monkeypatch.setattr(session_module, "MAX_PHOTOS", 1)
    session.admit([upload(tmp_path, "a.png"), upload(tmp_path, "b.png")])
    assert [name for name, _ in session.photos] == ["a.png"]
    assert session.refused[0][0] == "b.png"


def test_a_photo_that_fails_later_costs_only_itself(tmp_path: Path, session: Session, model: Model) -> None:
    session.admit([upload(tmp_path, "a.png"), upload(tmp_path, "b.png")])
    session.photos[0][1].write_bytes(b"gone bad")
    assert list(session.segment(model, None)) == ["a.png", "b.png"]
    assert [result.name for result in session.results] == ["b.png"]
    assert session.refused == [("a.png", session.refused[0][1])]
    assert str(tmp_path) not in session.refused[0][1]
    assert not list(session.folder.rglob("a*"))


def test_names_are_escaped(session: Session) -> None:
    session.refused.append(("<script>alert(1)</script>", "no photo"))
    assert "<script>" not in show_session(session)
    session.refused.clear()
    assert show_session(session) == EMPTY


def test_closed_while_it_works(tmp_path: Path, model: Model) -> None:
    sessions = Sessions(tmp_path / "sessions")
    session = sessions.of("page")
    assert sessions.of("page") is session
    assert sessions.by_token(session.token) is session
    session.admit([upload(tmp_path, "a.png"), upload(tmp_path, "b.png")])
    work = session.segment(model, None)
    next(work)
    sessions.close("page")
    assert not list(work)
    assert not session.folder.exists()
    assert sessions.by_token(session.token) is None


def test_models(tmp_path: Path) -> None:
    assert [model.name for model in find_models() if model.task == "lesion"]
    flagship = bundle_folder("lesion_mobilenetv2_unet")
    first = find_models(["lesion_unet"], ckpt_dir=flagship / "models")[0]
    assert (first.name, first.weights) == ("lesion_unet", flagship / "models")
    for bundles, weights, complaint in [
        (["lesion_unet"], tmp_path, "there is no .*model.pt"),
        (["no_such"], None, "'no_such' is neither"),
        ([], tmp_path, "name that one with --bundle"),
    ]:
        with pytest.raises(InputError, match=complaint):
            find_models(bundles, weights)
