"""What holds for every input of a kind, looked for by Hypothesis."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dermaseg_monai.data.datalist import list_photos, load_datalist
from dermaseg_monai.datasets.splits import assign, official_split
from dermaseg_monai.metrics import METRICS, confusion_counts
from dermaseg_monai.sam.from_mask import box_of_mask, jittered_box, points_inside
from dermaseg_monai.sam.preprocess import PREPROCESSING
from dermaseg_monai.sam.prompt import Prompt
from dermaseg_monai.sam.prompts_file import read_prompts
from dermaseg_monai.studies.plan import plan_runs
from dermaseg_monai.studies.study_file import load_study
from dermaseg_monai.transforms import BatchAugment, fit_mask
from dermaseg_monai.transforms.geometry import Geometry, placement
from dermaseg_monai.utils.errors import InputError
from scripts.make_split import random_split

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8)
id_lists = st.lists(
    names | st.sampled_from(official_split()["test"][:9]), min_size=1, max_size=40, unique=True
)
sides = st.integers(1, 90)
sizes = st.tuples(sides, sides)
masks = arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1))


@st.composite
def ids_in_groups(draw: Any) -> tuple[list[str], list[list[str]]]:
    ids = draw(id_lists)
    cuts = sorted(draw(st.lists(st.integers(0, len(ids)), max_size=4)))
    return ids, [ids[start:stop] for start, stop in zip(cuts[:-1:2], cuts[1::2], strict=False)]


class TestSplits:
    @quick
    @given(ids_in_groups(), st.randoms(use_true_random=False), st.sampled_from([random_split, assign]))
    def test_disjoint_exhaustive_stable_and_groups_together(self, drawn, random, split) -> None:
        ids, groups = drawn
        sections = split(ids, groups)
        placed = [name for section in sections.values() for name in section]
        assert sorted(placed) == sorted(ids)
        again = list(ids)
        random.shuffle(again)
        assert split(again, [random.sample(group, len(group)) for group in groups]) == sections
        section_of = {name: section for section, members in sections.items() for name in members}
        official = {name for members in official_split().values() for name in members}
        for group in groups:
            free = group if split is random_split else [name for name in group if name not in official]
            assert len({section_of[name] for name in free}) <= 1

    @quick
    @given(id_lists)
    def test_official_ids_stay_where_they_are(self, ids) -> None:
        sections = assign(ids)
        for section, members in official_split().items():
            assert set(ids).intersection(members) <= set(sections[section])

    @quick
    @given(id_lists)
    def test_sections_have_their_shares(self, ids) -> None:
        sections = random_split(ids, groups=())
        assert len(sections["validation"]) == len(sections["test"]) == round(0.15 * len(ids))


def scores(prediction: np.ndarray, target: np.ndarray) -> dict[str, float]:
    counts = confusion_counts(torch.from_numpy(prediction)[None, None], torch.from_numpy(target)[None, None])
    assert int(counts.sum()) == prediction.size
    return {name: float(metric(counts)[0, 0]) for name, metric in METRICS.items()}


@st.composite
def mask_pairs(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    one = draw(masks)
    return one, draw(arrays.arrays(np.uint8, one.shape, elements=st.integers(0, 1)))


class TestMetrics:
    @quick
    @given(mask_pairs())
    def test_bounds_symmetry_and_order(self, pair) -> None:
        found, turned = scores(*pair), scores(*pair[::-1])
        assert all(0 <= value <= 1 for value in found.values())
        for name in ("dice", "jaccard", "threshold_jaccard", "accuracy"):
            assert found[name] == turned[name]
        assert found["dice"] == pytest.approx(2 * found["jaccard"] / (1 + found["jaccard"]), abs=1e-6)
        assert found["threshold_jaccard"] in (0, found["jaccard"])

    @quick
    @given(masks)
    def test_a_mask_equals_itself(self, mask) -> None:
        assert set(scores(mask, mask).values()) == {1}

    @quick
    @given(mask_pairs(), st.randoms(use_true_random=False))
    def test_places_do_not_matter(self, pair, random) -> None:
        expected = scores(*pair)
        order = list(range(pair[0].size))
        random.shuffle(order)
        assert scores(*(mask.ravel()[order][None] for mask in pair)) == expected
        assert scores(*(mask.repeat(2, 0).repeat(3, 1) for mask in pair)) == pytest.approx(expected)

    @quick
    @given(mask_pairs())
    def test_the_background_of_one_is_the_lesion_of_the_other(self, pair) -> None:
        found, turned = scores(*pair), scores(*(1 - mask for mask in pair))
        assert found["accuracy"] == turned["accuracy"]
        assert found["sensitivity"] == turned["specificity"]


class TestTransforms:
    @quick
    @given(
        st.integers(0, 2**31),
        st.floats(0, 180),
        st.floats(0, 0.3),
        st.floats(0, 0.2),
        st.sampled_from(["zeros", "border", "reflection"]),
        st.none() | st.tuples(st.integers(8, 24), st.integers(8, 32)),
    )
    def test_photo_and_mask_move_together(self, seed, rotate, shift, shear, padding, crop) -> None:
        mask = torch.zeros(2, 1, 24, 32, dtype=torch.uint8)
        mask[0, :, 5:17, 8:25] = mask[1, :, 3:20, 3:9] = 1
        augment = BatchAugment(
            rotate=rotate, scale=(0.8, 1.25), shift=shift, shear=shear, padding=padding, crop_size=crop
        )
        batch = {"image": (mask * 200).expand(2, 3, 24, 32), "label": mask}
        moved = augment(batch, torch.Generator().manual_seed(seed))
        photo, label = moved["image"][:, :1], moved["label"]
        assert label.shape == photo.shape
        # a photo of the mask itself: interpolation may differ from the nearest pixel at an edge alone
        pooled = [torch.nn.functional.max_pool2d(sign * photo, 3, 1, 1) for sign in (1, -1)]
        flat = (pooled[0] + pooled[1]) < 1
        assert torch.equal(label[flat] == 1, photo[flat] > 100)

    @quick
    @given(sizes, sizes, st.sampled_from(["squash", "pad"]))
    def test_boxes_come_back(self, photo, size, aspect) -> None:
        top, left, bottom, right = placement(photo, size, aspect)
        assert 0 <= top < bottom <= size[0]
        assert 0 <= left < right <= size[1]
        content = (float(top), float(left), float(bottom), float(right))
        geometry = Geometry(photo, content, content)
        assert geometry.from_photo((0.0, 0.0, float(photo[0]), float(photo[1]))) == pytest.approx(
            (top, left, bottom, right)
        )
        assert geometry.to_photo((top, left, bottom, right)) == (0, 0, *photo)

    @quick
    @given(masks, st.integers(1, 4), st.integers(1, 4))
    def test_an_enlarged_mask_comes_back(self, mask, rows, columns) -> None:
        larger = mask.repeat(rows, 0).repeat(columns, 1)
        assert np.array_equal(fit_mask(larger, mask.shape), mask)


class TestPrompts:
    @quick
    @given(masks)
    def test_the_box_is_the_smallest_around_the_mask(self, mask) -> None:
        box = box_of_mask(mask)
        if box is None:
            assert not mask.any()
            return
        left, top, right, bottom = map(int, box)
        assert mask[top:bottom, left:right].sum() == mask.sum()
        inside = mask[top:bottom, left:right]
        assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))

    @quick
    @given(masks, st.floats(0, 0.4), st.integers(0, 2**31))
    def test_a_jittered_box_stays_in_the_photo(self, mask, share, seed) -> None:
        box = box_of_mask(mask)
        if box is None:
            return
        left, top, right, bottom = jittered_box(box, share, mask.shape, np.random.default_rng(seed))
        assert 0 <= left < right <= mask.shape[1]
        assert 0 <= top < bottom <= mask.shape[0]

    @quick
    @given(masks, st.integers(1, 3))
    def test_points_inside_are(self, mask, count) -> None:
        if mask.any():
            for x, y in points_inside(mask, count):
                assert mask[int(y), int(x)] == 1

    @quick
    @given(st.sampled_from(sorted(PREPROCESSING)), sizes, st.data())
    def test_a_prompt_lies_on_the_canvas_where_it_lay_on_the_photo(self, name, photo, data) -> None:
        preprocess = PREPROCESSING[name](size=64)
        x, y = data.draw(st.floats(0, photo[1])), data.draw(st.floats(0, photo[0]))
        height, width = preprocess.shown(photo)
        ((moved_x, moved_y),) = (
            Prompt(points=((x, y),), labels=(1,)).to_input(preprocess.geometry(photo)).points
        )
        assert moved_x / width == pytest.approx(x / photo[1])
        assert moved_y / height == pytest.approx(y / photo[0])


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def damaged(content: Any, data: st.DataObject) -> Any:
    """JSON data with one place, anywhere in it, replaced by something else or removed."""
    copy = json.loads(json.dumps(content))
    target: Any = copy
    while True:
        keys = list(target) if isinstance(target, dict) else list(range(len(target)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(target[key], (dict, list)) and target[key] and data.draw(st.booleans()):
            target = target[key]
            continue
        if data.draw(st.booleans()):
            target[key] = data.draw(json_data)
        else:
            del target[key]
        return copy


class TestFiles:
    """Whatever a file holds, either it is read or one sentence says why not."""

    def only_input_errors(self, path: Path, content: Any, read: Any) -> None:
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        with suppress(InputError):
            read()

    @quick
    @given(st.data(), st.sampled_from(["lesion", "attribute"]))
    def test_datalists(self, tmp_path, data, task) -> None:
        for name in ("a.png", "b.png"):
            (tmp_path / name).touch()
        item = {"id": "a", "image": "a.png", "label": "b.png", "attributes": ["b.png"] * 5}
        good = {"training": [item], "validation": [item | {"id": "b"}], "test": [item | {"id": "c"}]}
        content = data.draw(st.one_of(st.binary(max_size=30), json_data, st.just(damaged(good, data))))
        self.only_input_errors(
            tmp_path / "datalist.json", content, lambda: load_datalist(tmp_path, "training", task)
        )

    @quick
    @given(st.data())
    def test_prompts(self, tmp_path, data) -> None:
        good = {"a": {"boxes": [[1, 2, 3, 4], [5, 6, 8, 9]], "points": [[2, 3], [6, 7]], "labels": [1, 0]}}
        content = data.draw(st.one_of(st.binary(max_size=30), json_data, st.just(damaged(good, data))))
        path = tmp_path / "prompts.json"
        self.only_input_errors(path, content, lambda: read_prompts(path))

    @settings(quick, max_examples=30)
    @given(st.data())
    def test_studies(self, tmp_path, data) -> None:
        variant = {"name": "a", "title": "A", "overrides": {"optimizer#lr": 1}, "axis": {"data_fraction": 1}}
        overrides = {"image_size": [32, 32], "+train#handlers": [], "max_epochs": 2}
        good = {"bundle": "lesion_unet", "overrides": overrides, "seeds": [0], "variants": [variant]}
        content = data.draw(st.one_of(st.binary(max_size=30), json_data, st.just(damaged(good, data))))
        path = tmp_path / "small.json"
        self.only_input_errors(path, content, lambda: plan_runs(load_study(path), tmp_path))


@pytest.mark.parametrize("order", [list, lambda names: list(names)[::-1]])
def test_the_order_of_a_folder_is_not_the_file_systems(order, tmp_path, monkeypatch) -> None:
    for name in ("c.png", "a.jpg", "b.bmp"):
        (tmp_path / name).touch()
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(order(listed(path))))
    assert [photo["id"] for photo in list_photos(tmp_path)] == ["a", "b", "c"]
