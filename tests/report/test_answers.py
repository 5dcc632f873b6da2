"""Records with answers: which are shown, with which images, and what readers do with them in Chromium."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import Sample
from harness.discovery import registry
from harness.reporting import write_report
from harness.reporting.answers import ANSWER, excerpt_answers, spread_over_outcomes
from harness.reporting.rendered_questions import ShownTurn, cut_turns, digest_pixels, read_rendered_question
from harness.reporting.samples import Excerpts
from harness.reporting.thumbnails import Thumbnails
from harness_language.conversations import ImagePart, Question, Turn, render_question

NASTY = "</script><script>alert(1)</script> <b>& \"it\" 'is'"
SHADES = [np.full((6, 6, 3), n, np.uint8) for n in range(40)]

texts = st.text(st.sampled_from("<>\\ \nabtextuserimage0"), max_size=20) | st.sampled_from(
    ["<user>", "\n<assistant>", "<image 00>", "<\\text>", "<text>", ""]
)
parts = st.lists(texts | st.integers(0, 3).map(lambda n: ImagePart(SHADES[n])), max_size=4)
conversations = st.lists(
    st.tuples(st.sampled_from(["system", "user", "assistant"]), parts), min_size=1, max_size=4
)


@given(conversations)
def test_a_rendered_question_is_read_back(said):
    turns = tuple(Turn(role, tuple(given)) for role, given in said)
    found = read_rendered_question(render_question(Question("q", turns)))
    assert [turn.role for turn in found] == [turn.role for turn in turns]
    for turn, own in zip(turns, found, strict=True):
        told = [p if isinstance(p, str) else (p.digest,) for p in turn.parts]
        assert own.parts == [p for p in told if p != ""]


def test_images_have_the_digest_of_questions():
    assert digest_pixels(SHADES[3]) == ImagePart(SHADES[3]).digest


def test_the_last_turn_is_cut_last():
    turns = [
        ShownTurn("user", ["a" * 10, ("0",)]),
        ShownTurn("assistant", ["b"]),
        ShownTurn("user", ["c" * 6]),
    ]
    assert cut_turns(turns, 8) == [
        ShownTurn("user", ["a…", ("0",)]), ShownTurn("assistant", ["b"]), ShownTurn("user", ["c" * 6]),
    ]  # fmt: skip
    assert cut_turns(turns, 4) == [ShownTurn("user", [("0",)]), ShownTurn("user", ["cccc…"])]


@given(st.lists(st.sampled_from(["right", "wrong", "refused", "odd"]), max_size=60), st.integers(4, 30))
def test_rows_are_spread_over_outcomes(outcomes, rows):
    chosen = spread_over_outcomes(outcomes, rows)
    assert len(set(chosen)) == len(chosen) == min(rows, len(outcomes))
    shown = [outcomes[n] for n in chosen]
    for one in set(outcomes):
        assert shown.count(one) >= min(outcomes.count(one), rows // 4)
        assert shown == sorted(shown, key=shown.index)  # those of one outcome stand together


class Shades:
    """Samples with two images each."""

    splits = ("test",)
    ids = tuple(f"s{n}" for n in range(40))

    def load(self, split):
        return self

    def __len__(self):
        return 40

    def __getitem__(self, n):
        return Sample(self.ids[n], images=[SHADES[n], SHADES[39 - n]], target=0)


OUTCOMES = ["ok"] * 34 + ["unparsed", "refused", "refused", "truncated", "failed", "ok"]


def ask(n):
    shot = (Turn("user", (ImagePart(SHADES[39 - n]), "And this?")), Turn("assistant", ("grey",)))
    return Question("q", (*shot, Turn("user", (ImagePart(SHADES[n]), f"{NASTY} {n}?"))))


def write_answers(made, repeats=1, **options):
    """Write a record of 40 answers: 20 right, 14 wrong, one partly right, and one or two of each other outcome."""
    id = made.record("net", "d", fake=True, n=40, dataset_part=("shades", {}), **options)
    record = made.store.read(id)
    record.metrics, record.directions = {"vqa-accuracy": 0.5}, {"vqa-accuracy": True}
    record.units, record.binary = {"vqa-accuracy": "fraction"}, []
    score = [1.0] * 20 + [0.0] * 19 + [0.3]
    columns = {
        "id": list(Shades.ids), "question": [render_question(ask(n)) for n in range(40)],
        "answer": [NASTY * 9] * 40, "extracted": ["" if o not in ("ok", "truncated") else "dark" for o in OUTCOMES],
        "outcome": OUTCOMES, "accepted": ["light; bright"] * 40,
        "verdict": [f"verdict {n}" for n in range(40)], "reason": ["a filter" if o == "refused" else "" for o in OUTCOMES],
        "vqa-accuracy": np.array(score, np.float32),
    }  # fmt: skip
    made.store.write(record, {name: np.tile(np.array(v), repeats) for name, v in columns.items()})
    return record


COUNTS = {
    "wrong": 14, "partly right": 1, "unparsed": 1, "refused": 2, "truncated": 1, "failed": 1, "right": 20,
}  # fmt: skip


def test_an_excerpt_holds_questions_images_and_counts(maker):
    made = maker()
    with registry.register_temporarily("datasets", "shades", Shades):
        record = write_answers(made)
        pictures = Thumbnails({record.id}, 24)
        found = Excerpts(made.store, pictures, {record.id}, 16).excerpt(record)
    assert found["outcomes"] == COUNTS
    assert list(found["outcomes"]) == list(COUNTS)
    assert len(found["answers"]) == 16
    assert {a["outcome"] for a in found["answers"]} == set(COUNTS)
    assert len(pictures.pictures) == 24
    pictured = [a["outcome"] for a in found["answers"] if a["turns"][-1][1] >= 0]
    assert set(pictured) == set(COUNTS)
    assert len(pictured) == 16
    whole = [a["outcome"] for a in found["answers"] if a["turns"][0][1] >= 0]
    assert set(whole) == set(COUNTS)  # images of shots are of the first of each outcome
    one = found["answers"][0]
    assert one["turns"][-1][2].startswith(NASTY)
    assert one["turns"][1] == ["assistant", "grey"]
    assert one["scores"] == {"vqa-accuracy": 0}
    assert len(one["answer"]) == ANSWER + 1


def test_images_of_other_samples_are_named_as_not_shown(maker):
    made = maker()
    with registry.register_temporarily("datasets", "shades", Shades):
        record = write_answers(made)
        samples = made.store.samples(record.id)
        other = Question("q", (Turn("user", (ImagePart(np.full((3, 3, 3), 200, np.uint8)), "?")),))
        samples["question"] = render_question(other)
        import pyarrow as pa

        found = excerpt_answers(record, pa.Table.from_pandas(samples), 5, Thumbnails({record.id}, 24))
    assert all(a["turns"] == [["user", -1, "?"]] for a in found["answers"])


def test_few_samples_are_read_for_the_pictures(maker, monkeypatch):
    read = []
    monkeypatch.setattr(
        Shades, "__getitem__", lambda self, n: read.append(n) or Sample(self.ids[n], images=[SHADES[n]])
    )
    made = maker()
    with registry.register_temporarily("datasets", "shades", Shades):
        record = write_answers(made)
        found = Excerpts(made.store, Thumbnails({record.id}, 9), {record.id}, 40).excerpt(record)
    assert len(read) == len(set(read)) == 9
    assert sum(a["turns"][-1][1] >= 0 for a in found["answers"]) == 9


def test_without_the_data_set_the_texts_are_shown(maker):
    made = maker()
    record = write_answers(made)
    found = Excerpts(made.store, Thumbnails({record.id}, 24), {record.id}, 5).excerpt(record)
    assert "shades" in found["without"]
    assert len(found["answers"]) == 5


def test_a_page_does_not_grow_with_the_answers(maker, tmp_path):
    sizes = []
    for repeats in (2, 20):
        made = maker(title=f"of {repeats}")
        write_answers(made, repeats)
        sizes.append(write_report(made.done(), None, tmp_path / "page.html").stat().st_size)
    assert abs(sizes[1] - sizes[0]) < 5000


@pytest.fixture(scope="module")
def page(module_maker, tmp_path_factory):
    """A report on one record with answers."""
    made = module_maker(tables=[{"name": "main", "values": ["vqa-accuracy"]}])
    with registry.register_temporarily("datasets", "shades", Shades):
        write_answers(made)
        return write_report(made.done(), None, tmp_path_factory.mktemp("answers") / "report.html", samples=30)


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_answers_are_filtered_with_the_keyboard(browser, page, width, height):
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    browser.emulate(
        "setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
    )
    browser.js("document.querySelector('td button.open').click()")
    labels = browser.js("[...document.querySelectorAll('.filters button')].map(b => b.textContent)")
    assert labels == ["all 40", *(f"{name} {count}" for name, count in COUNTS.items())]
    cards = "[...document.querySelectorAll('.answers > li')]"
    assert browser.js(f"{cards}.length") == 30
    assert browser.js("document.querySelectorAll('.answers b, .answers script').length") == 0
    boxes = f"{cards}.concat(...document.querySelectorAll('.filters button'))"
    assert browser.js(f"{boxes}.every(e => e.getBoundingClientRect().right <= innerWidth)")
    assert browser.js(
        "document.querySelector('#content').scrollWidth <= document.querySelector('#content').clientWidth"
    )
    browser.js("document.querySelector('.filters button').focus()")
    for _ in range(4):
        browser.press(Keys.TAB)
    browser.press(Keys.SPACE)
    assert browser.js("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert browser.js("document.querySelectorAll('.filters [aria-pressed=true]').length") == 1
    assert browser.js(f"{cards}.map(e => e.dataset.outcome)") == ["refused", "refused"]
    assert browser.one("#content [role=status]").text == "2 of 2 refused shown"
    card = browser.one(".answers > li").text
    assert NASTY in card
    assert "a filter" in card
    assert "light; bright" in card
    assert "verdict 35" in card
    assert browser.js("document.querySelector('.answers > li > .asked img').naturalWidth") == 6
    browser.js("document.querySelector('.answers summary').click()")
    browser.wait("document.querySelector('.answers details .asked') !== null")
    assert "assistant: grey" in browser.one(".answers details").text
