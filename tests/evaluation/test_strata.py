"""Strata with planted differences, and the page that shows them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermaseg_monai.cli.commands import Commands
from dermaseg_monai.data import load_datalist
from dermaseg_monai.evaluation.report import headline
from dermaseg_monai.evaluation.strata import SHOWN, read_metadata, score_strata, strata_of, worst_photos
from dermaseg_monai.evaluation.strata_report import StrataReport
from dermaseg_monai.studies.statistics import holm
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import read_table
from tests.browser import open_page, overflow
from tests.disc_dataset import write_discs
from tests.evaluation.test_masks import write_masks
from tests.tiny_bundle import write_tiny_bundle
from tests.trainings import TINY_UNET, train


def made_up(count: int, gap: float, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores, and features of which the site alone matters: at "face" scores are lower by ``gap``."""
    rng = np.random.default_rng(seed)
    site = rng.choice(["face", "back", "arm"], count, p=[0.2, 0.5, 0.3])
    jaccard = (0.85 - gap * (site == "face") + rng.normal(0, 0.1, count)).clip(0, 1)
    scores = pd.DataFrame(dict.fromkeys(SHOWN, jaccard) | {"id": [f"p{index}" for index in range(count)]})
    features = pd.DataFrame(
        {"lesion_share": rng.uniform(0, 1, count), "site": site, "sex": rng.choice(["f", "m"], count)}
    )
    return scores, features


def test_planted_differences_are_found_and_no_others() -> None:
    scores, features = made_up(400, 0.1, seed=1)
    strata = strata_of(features)
    table = score_strata(scores, strata, resamples=4_000).set_index(["feature", "stratum"])
    face = scores["jaccard"][features["site"] == "face"]
    row = table.loc[("site", "face")]
    assert row["jaccard"] == pytest.approx(face.mean())
    assert row["failed"] == pytest.approx((face < 0.65).mean())
    assert row["difference"] == pytest.approx(
        face.mean() - scores["jaccard"][features["site"] != "face"].mean()
    )
    assert row["difference_low"] < row["difference"] < row["difference_high"] < 0
    # the width that the standard error of a mean gives
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * face.std() / len(face) ** 0.5, rel=0.15)
    np.testing.assert_allclose(table["p_bootstrap_holm"], holm(table["p_bootstrap"]))
    clear = table[table["p_bootstrap_holm"] < 0.05]
    assert set(clear.index.get_level_values("feature")) == {"site"}
    sentences = headline(table.reset_index())
    assert "site, face: Jaccard" in sentences[1]


def test_chance_alone_is_seldom_called_a_difference() -> None:
    called = 0
    for seed in range(20):
        scores, features = made_up(200, 0.0, seed)
        called += bool(
            (score_strata(scores, strata_of(features), resamples=500)["p_bootstrap_holm"] < 0.05).any()
        )
    assert called <= 3  # of 20, with one expected at most


def test_strata_by_each_kind_of_value() -> None:
    count = 120
    features = pd.DataFrame(
        {
            "lesion_share": np.linspace(0, 0.8, count),
            "edge_share": [0.0] * 100 + [0.1] * 20,
            "regions": [1] * 115 + [2] * 5,  # too few
            "skin_tone": [60.0] * 50 + [35.0] * 30 + [-40.0] * 30 + [np.nan] * 10,
            "site": ["back"] * 60 + ["arm"] * 40 + ["nail"] * 6 + ["eye"] * 4 + [np.nan] * 10,
            "patient": [f"x{index}" for index in range(count)],
            "visit": [1.0, 2.0] * 60,
        }
    )
    actual: dict[str, list[str]] = {}
    for stratum in strata_of(features):
        actual.setdefault(stratum.feature, []).append(stratum.name)
    assert actual == {
        "lesion_share": ["0 % to 19.5 %", "20.2 % to 39.7 %", "40.3 % to 59.8 %", "60.5 % to 80 %"],
        "edge_share": ["inside the photo", "touches the edge"],
        "skin_tone": ["very light", "intermediate", "dark"],
        "site": ["back", "arm", "other (2 values)"],
        "visit": ["1", "2"],
    }
    parts = [stratum.members for stratum in strata_of(features) if stratum.feature == "lesion_share"]
    assert [part.sum() for part in parts] == [30] * 4
    assert sum(part.astype(int) for part in parts).tolist() == [1] * count


def test_metadata(tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    path.write_text("lesion;image_id;AGE;sex\nL1;a.jpg;40;male\nL2;b;;female\nL3;c;50;unknown\nL9;z;1;male\n")
    table = read_metadata(path, ["c", "a", "b"])
    assert table.index.tolist() == ["c", "a", "b"]
    assert table["age"].tolist()[:2] == [50, 40]
    assert table["age"].isna().tolist() == [False, False, True]
    assert table["sex"].isna().tolist() == [True, False, False]
    with pytest.raises(InputError, match="has none of the 1 photos"):
        read_metadata(path, ["other"])
    path.write_text("age,sex\n1,m\n")
    with pytest.raises(InputError, match="has the columns age, sex; it needs one called id or image_id"):
        read_metadata(path, ["a"])


def test_worst_photos_come_first() -> None:
    scores, features = made_up(60, 0.1)
    stratum = next(each for each in strata_of(features) if each.name == "back")
    worst = worst_photos(scores, stratum, 3)
    own = scores[features["site"] == "back"].sort_values("jaccard")
    assert worst == list(own["id"][:3])


def write_test_discs(folder: Path, count: int) -> list[dict]:
    """A prepared folder all of whose photos are of the test section."""
    items = write_discs(folder, count)
    names = [
        {key: Path(value).name if key != "id" else value for key, value in item.items()} for item in items
    ]
    sections = {"training": [], "validation": [], "test": names}
    (folder / "datalist.json").write_text(json.dumps(sections))
    return items


def test_page(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = tmp_path / "discs"
    items = write_test_discs(folder, 30)
    masks = write_masks(folder, tmp_path / "masks", 2)
    table = pd.DataFrame({"id": [item["id"] for item in items], "site": ["<arm>"] * 15 + ["back"] * 15})
    table.to_csv(tmp_path / "metadata.csv", index=False)
    Commands().evaluate(str(masks), str(folder), metadata=str(tmp_path / "metadata.csv"))
    output = tmp_path / "masks_scores"
    assert str(output / "strata.html") in capsys.readouterr().out
    features = read_table(output / "features.csv")
    assert len(load_datalist(folder, "test")) == len(features) == 30
    assert {"lesion_share", "hair_share", "metadata: site"} <= set(features)
    rows = read_table(output / "strata.csv")
    assert rows[rows["feature"] == "metadata: site"]["images"].tolist() == [15, 15]
    text = (output / "strata.html").read_text()
    assert "<h2>site</h2>" in text
    assert "&lt;arm&gt;" in text
    assert "<arm>" not in text
    assert "Against people" in text
    assert "doi.org" in text
    with open_page() as page:
        page.goto(f"file://{output / 'strata.html'}")
        assert overflow(page) == 0
        assert page.locator("table.sortable").count() == rows["feature"].nunique()


def test_a_bundles_own_evaluation_writes_the_page(tmp_path: Path) -> None:
    dataset = tmp_path / "discs"
    items = write_test_discs(dataset, 30)
    Path(items[3]["image"]).write_bytes(b"no photo")
    metadata = tmp_path / "clinic.csv"
    pd.DataFrame({"id": [item["id"] for item in items], "clinic": ["a", "b"] * 15}).to_csv(
        metadata, index=False
    )
    write_tiny_bundle(tmp_path / "tiny", "lesion_unet")
    settings = {
        **TINY_UNET,
        "ckpt_dir": str(tmp_path / "tiny" / "models"),
        "strata": True,
        "metadata": str(metadata),
    }
    train("lesion_unet", dataset, tmp_path, "train", "evaluate", run_id="evaluating", **settings)
    output = tmp_path / "output"
    own = read_table(output / "strata.csv")
    assert own[own["feature"] == "metadata: clinic"]["images"].tolist() == [15, 14]
    rest = [item["id"] for item in items if item is not items[3]]
    assert read_table(output / "features.csv")["id"].tolist() == sorted(rest)
    assert "<h2>clinic</h2>" in (output / "strata.html").read_text()


def test_a_missing_table_ends_an_evaluation_before_it_begins(tmp_path: Path) -> None:
    items = write_discs(tmp_path / "discs", 2)
    with pytest.raises(InputError, match="nowhere"):
        StrataReport(tmp_path, items, "test", tmp_path / "nowhere.csv")


def test_attributes_have_no_strata() -> None:
    with pytest.raises(InputError, match="are of lesion masks"):
        Commands().evaluate("masks", "data", task="attribute", strata=True)
