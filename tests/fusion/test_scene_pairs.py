"""Drawn pairs: labels follow the stated rule, what is planted is planted, and parts keep their columns."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from harness import testing
from harness.errors import DataError, OptionError
from harness.inference.split_subsets import draw_subset
from harness_embedded.scene_pair_drawing import EMPHATIC, MILD, OBJECTS, POLARITIES, WORDS
from harness_embedded.scene_pairs import ScenePairs


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def _read_polarity(text):
    """Polarity and emphasis as a reader finds them in the words, independent of how they were drawn."""
    words = text.replace(",", "").split()
    found = [p for p in POLARITIES if set(WORDS[p]) & set(words)]
    strong, weak = set(EMPHATIC) & set(words), set(MILD) & set(words)
    assert len(found) == 1
    assert bool(strong) != bool(weak)
    return found[0], bool(strong)


def _ruled(text, image, emphatic):
    if text == image:
        return text
    if "neutral" in (text, image):
        return image if text == "neutral" else text
    return text if emphatic else image


def test_labels_follow_the_rule():
    split = ScenePairs(count=600, missing=0.0).load("all")
    for i, text in enumerate(split.texts):
        said, emphatic = _read_polarity(text)
        shown = split.groups["image_polarity"][i]
        assert said == split.groups["text_polarity"][i]
        assert split.class_names[split.targets[i]] == _ruled(said, shown, emphatic)
        assert split.groups["conflict"][i] == ({said, shown} == {"negative", "positive"})
        assert split.groups["agreement"][i] == (said == shown)


def test_classes_are_imbalanced_as_stated():
    counts = np.bincount(ScenePairs(missing=0.0).load("all").targets) / 2400
    # neutral: both neutral; positive: both positive, one and a neutral, or half of the conflicts
    neutral, positive = 0.35**2, 0.45**2 + 2 * 0.45 * 0.35 + 0.45 * 0.2
    assert counts == pytest.approx([1 - neutral - positive, neutral, positive], abs=0.035)


def test_shares_of_missing_and_blurred_are_exact():
    split = ScenePairs(count=500, missing=0.1, blur=0.2).load("all")
    assert (~split.has_text).sum() == 50
    assert (~split.has_image).sum() == 50
    assert (split.has_text | split.has_image).all()
    for i in range(len(split)):
        sample = split[i]
        assert (sample.image is None) == split.groups["missing_image"][i]
        assert (sample.text == "") == split.groups["missing_text"][i]
        assert sample.text == split.texts[i]
    assert split.report["kinds"]["image missing"]["count"] == 50
    assert not (
        split.groups["conflict"] & (split.groups["missing_text"] | split.groups["missing_image"])
    ).any()


def test_blurred_images_have_less_edge():
    sharp = ScenePairs(count=300, missing=0.0, blur=0.0).load("all")
    soft = ScenePairs(count=300, missing=0.0, blur=0.5).load("all")

    def edges(image):
        grey = image.astype(float).mean(axis=2)
        return np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()

    blurred = soft.groups["blurred"]
    assert blurred.sum() == 150
    for i in range(300):
        same = np.array_equal(sharp[i].image, soft[i].image)
        assert same != blurred[i]
        assert edges(soft[i].image) <= edges(sharp[i].image)


def _accuracy_from_texts(split):
    bags = CountVectorizer().fit_transform(split.texts)
    half = len(split) // 2
    model = LogisticRegression(max_iter=1000).fit(bags[:half], split.targets[:half])
    return model.score(bags[half:], split.targets[half:])


def test_a_text_label_is_in_the_text_alone_and_an_image_label_not_at_all():
    told = ScenePairs("text", missing=0.0).load("all")
    assert _accuracy_from_texts(told) > 0.99
    hidden = ScenePairs("image", missing=0.0).load("all")
    majority = np.bincount(hidden.targets).max() / len(hidden)
    assert _accuracy_from_texts(hidden) == pytest.approx(majority, abs=0.06)
    assert [hidden.class_names[t] for t in hidden.targets] == hidden.groups["image_polarity"].tolist()


def test_exclusive_or_is_at_chance_for_each_alone():
    split = ScenePairs("xor", missing=0.0).load("all")
    text, image = (split.groups[f"{name}_polarity"] for name in ("text", "image"))
    assert list(split.class_names) == ["conflict", "agreement"]
    assert np.array_equal(split.targets == 1, text == image)
    assert set(text) == set(image) == {"negative", "positive"}
    assert abs(_accuracy_from_texts(split) - 0.5) < 0.06
    for said in (text, image):  # knowing a polarity for certain says nothing either
        assert abs((split.targets[said == "positive"] == 1).mean() - 0.5) < 0.06


def test_objects_and_words_belong_to_one_polarity_each():
    for table in (OBJECTS, WORDS):
        names = [name for group in table.values() for name in group]
        assert len(names) == len(set(names))


def test_the_same_options_give_the_same_pairs_and_another_seed_others():
    first, again, other = ScenePairs(count=50), ScenePairs(count=50), ScenePairs(count=50, seed=1)
    a, b, c = (d.load("all") for d in (first, again, other))
    assert a.texts == b.texts
    assert all(np.array_equal(a[i].image, b[i].image) for i in range(50) if a.has_image[i])
    assert a.texts != c.texts


def test_the_unlabelled_split_has_other_pairs_without_labels():
    data = ScenePairs(count=200)
    split = data.load("unlabelled")
    assert len(split) == 20
    assert (split.targets == -1).all()
    assert set(split.ids).isdisjoint(data.load("all").ids)


def test_a_part_of_a_split_keeps_its_columns():
    whole = ScenePairs(count=100).load("all")
    part = draw_subset(whole, 30, seed=3)
    rows = [whole.ids.index(i) for i in part.ids]
    assert len(part.texts) == len(part.has_image) == 30
    assert part.texts == [whole.texts[r] for r in rows]
    assert np.array_equal(part.groups["image_polarity"], whole.groups["image_polarity"][rows])
    assert part.class_names == whole.class_names


@pytest.mark.parametrize(
    ("options", "word"), [({"count": 3}, "count"), ({"missing": 0.7}, "missing"), ({"blur": 2.0}, "blur")]
)
def test_options_out_of_range_are_refused(options, word):
    with pytest.raises(OptionError, match=word):
        ScenePairs(**options)


def test_an_unknown_split_names_the_nearest():
    with pytest.raises(DataError, match="unlabelled"):
        ScenePairs().load("unlabeled")


class TestScenePairs(testing.DatasetConformance):
    @pytest.fixture
    def dataset(self):
        return ScenePairs(count=60)
