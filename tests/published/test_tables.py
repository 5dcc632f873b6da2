"""Tables with published rows: what is marked, what is compared, what is said, and what stays as it was."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

import harness
from harness.discovery.registry import installed
from harness.errors import HarnessError
from harness.planning.suite import parse_suite

ROWS = ["model,resolution,imagenet,imagenetv2", *(f"m{n:02d},224,{n},{n / 2}" for n in range(1, 100))]


@pytest.fixture
def store(make):
    """Two models on ImageNet and V2, the better one far below the best published."""
    made = make(tables=[{"name": "all", "values": ["top1"]}])
    note = {"preparation": {"resize": 256, "crop": 224, "interpolation": "bilinear"}}
    for model, accuracy in (("A", 0.505), ("B", 0.9)):
        made.record(model, "ImageNet", accuracy, notes=note)
        made.record(model, "V2", accuracy - 0.1, notes=note)
    return made.done()


def table(store, *names, **layout):
    (found,) = harness.table("mine", store=store.path, add_published=names, **layout)
    return found


def shown(found):
    return [(row.header[0], row.published) for row in found.rows]


def notes(found, row, column=0):
    entry = next(r for r in found.rows if r.header[0] == row).entries[column]
    return [found.footnotes[n] for n in entry.notes]


def test_own_numbers_intervals_and_marks_stay_as_they_were(store, make):
    plain, more = table(store), table(store, make.csv(*ROWS))
    assert shown(more)[:2] == [("A", ""), ("B", "")]
    for before, after in zip(plain.rows, more.rows):
        for one, other in zip(before.entries, after.entries):
            assert (one.value, one.low, one.high, one.best, one.tied) == (
                other.value,
                other.low,
                other.high,
                other.best,
                other.tied,
            )
    theirs = [entry for row in more.rows if row.published for entry in row.entries]
    assert theirs
    assert max(entry.value for entry in theirs) == 0.99
    assert not any(entry.best or entry.tied or entry.low or entry.records for entry in theirs)
    assert more.caption == plain.caption


def test_the_nearest_the_quartiles_and_the_ends_are_shown_and_all_on_request(store, make):
    file = make.csv(*ROWS)
    # A has 50.5, between m50 and m51; B has 90, as m90 has
    wanted = {1, 25, 26, 49, 50, 51, 52, 74, 75, 88, 89, 90, 91, 99}
    numbers = [int(name[1:3]) for name, of in shown(table(store, file)) if of]
    assert numbers == sorted(numbers, reverse=True)
    assert {49, 50, 51, 52, 88, 89, 90, 91, 1, 99} <= set(numbers) <= wanted
    everything = table(store, file, published_rows="all")
    assert len(everything.rows) == 2 + 99
    assert not any("of 99 published models" in text for text in everything.footnotes)
    assert any(text.startswith("of 99 published models") for text in table(store, file).footnotes)
    none_near = [name for name, of in shown(table(store, file, published_rows=0)) if of]
    assert len(none_near) == 5


def test_where_a_row_stands_is_said_in_numbers_that_can_be_counted(store, make):
    found = table(store, make.csv(*ROWS))
    (standing,) = [text for text in notes(found, "A") if "between" in text]
    assert standing == (
        "ImageNet: between m51 [others] (51.0) and m50 [others] (50.0), better than 50.5 % of 99 published"
    )
    (standing,) = [text for text in notes(found, "B") if "between" in text]
    assert (
        "between m91 [others] (91.0) and m89 [others] (89.0), better than 89.9 %, as good as 1 of 99"
        in standing
    )
    few = make.csv("model,imagenet", "low,10", "lower,5")
    assert (
        "above low [others] (10.0), and below none, better than 100.0 % of 2"
        in notes(table(store, few), "A")[0]
    )
    few = make.csv("model,imagenet", "high,95")
    assert (
        "below high [others] (95.0), and above none, better than 0.0 % of 1"
        in notes(table(store, few), "A")[0]
    )


def test_every_format_marks_published_rows(store, make):
    found = table(store, make.csv(*ROWS))
    for format in ("terminal", "markdown", "html", "latex"):
        text = found.render(format).replace("\\", "").replace("{[}", "[")
        assert "m51 [others]" in text, format
        assert "published, not measured here" in text, format
    rows = list(csv.DictReader(io.StringIO(found.render("csv"))))
    assert [row["published"] for row in rows] == [of for _, of in shown(found)]
    assert float(next(r for r in rows if r["model"].startswith("m51"))["ImageNet"]) == 0.51
    assert [row["published"] for row in json.loads(found.render("json"))["rows"]] == [
        of for _, of in shown(found)
    ]
    assert re.search(r'<tr class="published"><th scope="row">m51 \[others\]', found.render("html"))


def test_a_sort_puts_published_rows_among_ones_own(store, make):
    found = table(store, make.csv(*ROWS), sort="ImageNet")
    values = [row.entries[0].value for row in found.rows]
    assert values == sorted(values, reverse=True)
    names = [name for name, _ in shown(found)]
    assert names.index("m51 [others]") < names.index("A") < names.index("m50 [others]")
    by_shift = table(store, make.csv(*ROWS), sort="V2")
    assert any(text.startswith("V2: between") for text in notes(by_shift, "A", 1))


def test_rankings_and_differences_are_over_ones_own_rows(store, make):
    layout = {"ranking": True, "baseline": {"model": "A"}}
    plain, more = table(store, **layout), table(store, make.csv(*ROWS), **layout)
    assert [[e.value for e in row.entries] for row in plain.rows] == [
        [e.value for e in row.entries] for row in more.rows[: len(plain.rows)]
    ]
    kinds = [column.kind for column in more.columns]
    for row in more.rows[2:]:
        assert [e.value is None for e in row.entries] == [kind != "value" for kind in kinds]


def test_what_differs_is_marked_and_what_is_unknown_is_said_once(store, make):
    head = "# source: p\n# date: 2024\n# metric: top1\n# unit: percent\n# samples: imagenet = 50000\n"
    rows = ("model,resolution,crop,interpolation,imagenet,imagenetv2", "same,224,0.875,bilinear,40,30",
            "large,384,1.0,bicubic,60,50", "silent,,,,50,40")  # fmt: skip
    found = table(store, make.csv(*rows, head=head), published_rows="all")
    counts = "on 50,000 samples"
    assert notes(found, "same [others]") == [f"published {counts}; here on 200"]
    assert notes(found, "same [others]", 1) == []
    assert notes(found, "large [others]", 1) == [
        "published at 384 px, crop 1, bicubic; here at 224 px, crop 0.875, bilinear"
    ]
    (source,) = [text for text in found.footnotes if "not measured here" in text]
    assert "Source: p, date 2024" in source
    assert "It does not state: resolution (of 1 of 3 models)" in source


def test_a_model_that_was_run_here_is_always_shown(make):
    made = make(tables=[{"name": "all", "values": ["top1"]}])
    made.record("mine", "ImageNet", 0.9, written="timm:m03")
    store = made.done()
    head = "# source: p\n# date: 2024\n# metric: top1\n# unit: percent\n# models: timm:{model}\n"
    names = [name for name, _ in shown(table(store, make.csv(*ROWS, head=head), published_rows=0))]
    assert "m03 [others]" in names
    assert "m04 [others]" not in names


def test_a_mean_over_data_sets_has_the_mean_over_the_same_ones(make):
    made = make(tables=[{"name": "all", "columns": ["tag.dataset.role"], "values": ["top1"]}])
    for dataset in ("fog 1", "fog 2"):
        made.record("A", dataset, 0.5, tags={"dataset.role": "corruption"})
    store = made.done()
    rows = (
        "dataset,whole,half",
        "imagenet-c?corruption=fog&severity=1,80,80",
        "imagenet-c?corruption=fog&severity=2,60,",
    )
    found = table(store, make.csv(*rows), published_rows="all")
    assert [(row.header[0], row.entries[0].value) for row in found.rows[1:]] == [("whole [others]", 0.7)]


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        ({"rows": ["dataset"], "columns": ["model"]}, "the table's rows are not models"),
        ({"rows": ["model", "dataset"], "columns": []}, "the table's rows are data sets or metrics, too"),
        ({"columns": ["seed"]}, "its columns differ in 'seed'"),
        ({"values": ["other"]}, "[others] has none of these numbers"),
    ],
)
def test_a_table_without_a_place_for_them_says_why(make, layout, reason):
    made = make(tables=[{"name": "all", "values": ["top1"], **layout}])
    made.record("A", "ImageNet", 0.5)
    made.record("A", "V2", 0.5, metric="other")
    found = table(made.done(), make.csv(*ROWS))
    assert not any(row.published for row in found.rows)
    assert any(reason in text for text in found.footnotes), found.footnotes


def test_fractions_are_not_shown_beside_another_scale(store, make):
    head = "# source: p\n# date: 2024\n# metric: top1\n# unit: none\n"
    found = table(store, make.csv(*ROWS, head=head))
    assert not any(row.published for row in found.rows)


def test_a_data_set_may_say_what_published_sets_call_it(make):
    made = make(tables=[{"name": "all", "values": ["top1"]}])
    made.record("A", "ours", 0.5, tags={"dataset.published": "imagenet"})
    found = table(made.done({"ours": "imagefolder:/data"}), make.csv(*ROWS))
    assert any(row.published for row in found.rows)


def test_a_part_of_a_data_set_is_not_taken_for_the_whole(make):
    made = make(tables=[{"name": "all", "values": ["top1"]}])
    made.record("A", "ImageNet", 0.5)
    found = table(made.done({"ImageNet": "imagenet?classes=imagenet-r"}), make.csv(*ROWS))
    assert not any(row.published for row in found.rows)


def test_a_suite_of_the_store_is_a_background(store, make):
    other = make(suite="theirs")
    other.record("old", "imagenet", 0.4)
    other.record("old", "imagenetv2", 0.3, seed=0)
    other.record("old", "imagenetv2", 0.2, seed=1)
    other.record("odd", "imagenet", 0.45, tags={"settings.img_size": 384})
    other.done({})
    found = table(store, "theirs", published_rows="all")
    values = {row.header[0]: [e.value for e in row.entries] for row in found.rows if row.published}
    assert values["old [theirs]"] == pytest.approx([0.4, 0.25])
    assert values["odd [theirs]"] == [pytest.approx(0.45), None]
    assert any("records of the suite 'theirs' in this store" in text for text in found.footnotes)
    assert any("published at 384 px" in text for text in notes(found, "odd [theirs]"))


def test_a_changed_set_makes_new_tables(store, make):
    file = make.csv("model,imagenet", "one,10")
    assert "one [others]" in dict(shown(table(store, file)))
    make.csv("model,imagenet", "two,10.0")
    assert "two [others]" in dict(shown(table(store, file)))
    other = make(suite="theirs")
    other.record("old", "imagenet", 0.4)
    other.done({})
    assert table(store, "theirs").rows[2].entries[0].value == pytest.approx(0.4)
    other.record("old", "imagenet", 0.3)
    assert table(store, "theirs").rows[2].entries[0].value == pytest.approx(0.3)


def test_an_unknown_set_is_named_with_the_nearest(store):
    with pytest.raises(
        HarnessError, match="no set or suite of the store is called 'tim'; did you mean 'timm'"
    ):
        table(store, "tim")


def test_effective_robustness_rests_on_published_standard_models(make):
    from harness.published.finding import read_published_set
    from harness_robustness.effective_robustness import fit_line

    made = make(tables=[{"name": "er", "columns": ["dataset"], "summary": "effective-robustness"}])
    made.record("mine", "ImageNet", 0.7, n=1000)
    made.record("mine", "V2", 0.66, n=1000)
    found = table(made.done(), "imagenet_testbed")
    testbed = read_published_set("imagenet_testbed")
    x, y = (np.array(testbed.numbers["top1", name]) for name in ("imagenet", "imagenetv2"))
    line = fit_line(x, y)
    (own, *others) = found.rows
    assert own.header == ("mine",)
    assert own.entries[0].value == pytest.approx(float(line.effective_robustness(0.7, 0.66)) / 100)
    assert "line over 85 standard models, 85 of them published" in notes(found, "mine")
    assert all(row.published == "imagenet_testbed" for row in others)
    for row in others:
        at = testbed.models.index(row.header[0].removesuffix(" [imagenet_testbed]"))
        assert row.entries[0].value == pytest.approx(float(line.effective_robustness(x[at], y[at])) / 100)


def test_a_summary_that_takes_none_says_so(make):
    @harness.summary(higher_is_better=True)
    def first_model(records):
        assert "published" not in records
        return records.head(1)[["model", "dataset"]].assign(metric="top1", value=records["top1"])

    harness.register("summaries", "first-model", first_model)
    made = make(tables=[{"name": "s", "summary": "first-model"}])
    made.record("A", "ImageNet", 0.5)
    found = table(made.done(), make.csv(*ROWS))
    assert "no published results here: the summary takes none" in found.footnotes


def test_a_suite_names_its_published_sets_and_a_run_checks_them(tmp_path):
    content = {
        "name": "s",
        "protocol": "classification",
        "models": ["tiny-resnet"],
        "datasets": ["scenes"],
        "published": ["tim"],
    }
    with pytest.raises(HarnessError, match="did you mean 'timm'"):
        harness.run(content, store=tmp_path / "store")
    with pytest.raises(HarnessError, match=r"published_rows.*at least 0"):
        parse_suite({**content, "published_rows": -1})
    assert parse_suite({**content, "tables": [{"name": "t", "published": []}]}).tables[0].published == []


def test_a_suite_is_no_background_of_its_own(store, make):
    other = make(suite="theirs", tables=[{"name": "all", "values": ["top1"]}])
    other.record("old", "imagenet", 0.4)
    other.done({})
    mine, theirs = harness.table(store=store.path, add_published="theirs")
    assert [row.published for row in mine.rows] == ["", "", "theirs"]
    assert [row.published for row in theirs.rows] == [""]


def test_corruption_errors_of_published_models_are_computed_as_ones_own(make):
    from harness.published.finding import read_published_set
    from harness_robustness.corruption_errors import IMAGENET_C, mean_corruption_error

    made = make(
        tables=[{"name": "ce", "columns": ["metric"], "values": ["mce"], "summary": "corruption-error"}]
    )
    references = {"clean": "imagenet"}
    made.record("mine", "clean", 0.75)
    for corruption in IMAGENET_C:
        for severity in range(1, 6):
            label = f"{corruption} {severity}"
            references[label] = f"imagenet-c?corruption={corruption}&severity={severity}"
            tags = {"reference": "clean", "corruption": corruption, "severity": severity}
            made.record("mine", label, 0.5, tags={f"dataset.{k}": v for k, v in tags.items()})
    found = table(made.done(references), "robustbench", published_rows="all")
    values = {row.header[0]: row.entries[0].value for row in found.rows}
    assert values["mine"] == pytest.approx(mean_corruption_error(dict.fromkeys(IMAGENET_C, [0.5] * 5)))
    published = read_published_set("robustbench")
    for place, model in enumerate(published.models):
        name = "imagenet-c?corruption={}&severity={}".format
        errors = {
            c: [1 - published.numbers["top1", name(c, s)][place] for s in range(1, 6)] for c in IMAGENET_C
        }
        assert values[f"{model} [robustbench]"] == pytest.approx(mean_corruption_error(errors))


def test_the_legend_says_among_whom_the_best_is(store, make):
    assert "*: best of those measured here;" in table(store, make.csv(*ROWS)).render()
    assert "*: best;" in table(store).render()


def test_plots_name_published_points_under_the_pointer(make, tmp_path):
    made = make(
        plots=[
            {"name": "line", "kind": "scatter-fit", "published": [make.csv(*ROWS)]},
            {"name": "plain", "kind": "scatter-fit"},
        ]
    )
    for model, accuracy in (("A", 0.7), ("B", 0.8)):
        made.record(model, "ImageNet", accuracy)
        made.record(model, "V2", accuracy - 0.1)
    store = made.done()
    figures = harness.plots("mine", store=store.path)
    assert figures.problems == {}
    (line,), (plain,) = figures["line"].axes, figures["plain"].axes
    (cloud,) = line.collections
    assert len(cloud.get_offsets()) == 99
    assert not plain.collections
    labels = [text.get_text() for text in line.texts]
    assert {"A", "B"} <= set(labels)
    assert not any("[others]" in text for text in labels)
    assert "Source" not in figures.captions["plain"]
    assert "[others]: published" in figures.captions["line"]
    harness.report("mine", store=store.path, out=tmp_path / "page.html", plots=tmp_path / "plots")
    drawn = (tmp_path / "plots" / "mine-line.svg").read_text()
    titles = re.findall(r"<title>(m\d\d \[others\])</title>", drawn)
    assert titles == [f"m{n:02d} [others]" for n in range(1, 100)]
    again = tmp_path / "again"
    harness.report("mine", store=store.path, out=tmp_path / "page.html", plots=again)
    assert (again / "mine-line.svg").read_bytes() == (tmp_path / "plots" / "mine-line.svg").read_bytes()


def test_a_set_of_the_plan_that_is_gone_leaves_the_table_with_a_note(make):
    file = make.csv(*ROWS)
    made = make(tables=[{"name": "all", "values": ["top1"], "published": [file, "imagenet_testbed"]}])
    made.record("A", "ImageNet", 0.5)
    store = made.done()
    (before,) = harness.table("mine", store=store.path)
    assert {row.published for row in before.rows} >= {"", "others"}
    Path(file).unlink()
    (after,) = harness.table("mine", store=store.path)
    assert {row.published for row in after.rows} == {"", "imagenet_testbed"}
    assert any(
        "without the published results of" in text and "no such file" in text for text in after.footnotes
    )
    with pytest.raises(HarnessError, match="no such file"):
        harness.table("mine", store=store.path, add_published=file)
    with pytest.raises(HarnessError, match="no such file"):
        harness.report("mine", store=store.path, out=made.folder / "page.html", add_published=file)


def test_a_file_beside_the_suite_is_found_from_anywhere(tmp_path, monkeypatch):
    from harness.planning.add_published import locate_published
    from harness.planning.suite import load_suite_file

    (tmp_path / "a.csv").write_text("")
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "b.csv").write_text("")
    content = 'name = "s"\nprotocol = "p"\npublished = ["a.csv", "b.csv", "timm", "no.csv"]\n'
    content += '[[tables]]\nname = "t"\npublished = ["b.csv"]\n[[tables]]\nname = "u"\n'
    (tmp_path / "suite" / "s.toml").write_text(content)
    monkeypatch.chdir(tmp_path)
    found = locate_published(load_suite_file("suite/s.toml"))
    a, b = (str((tmp_path / name).resolve()) for name in ("a.csv", "suite/b.csv"))
    assert found.published == [a, b, "timm", "no.csv"]
    assert [table.published for table in found.tables] == [[b], None]
    assert found.folder == (tmp_path / "suite").resolve()


def test_files_of_one_name_are_told_apart_and_no_set_counts_twice(store, make, tmp_path):
    one = make.csv("model,imagenet", "a,10", "b,20")
    (tmp_path / "other").mkdir()
    two = make.csv("model,imagenet", "a,30", name="other/others.csv")
    found = table(store, one, two, published_rows="all")
    assert {row.header[0]: row.entries[0].value for row in found.rows if row.published} == {
        "a [others]": 0.1,
        "b [others]": 0.2,
        "a [others (2)]": 0.3,
    }
    assert any(text.startswith("[others (2)] published") for text in found.footnotes)
    distribution = next(p.distribution for p in installed("published") if p.name == "timm")
    twice = table(store, "timm", f"{distribution}/timm")
    once = table(store, "timm")
    assert shown(twice) == shown(once)
    assert notes(twice, "A") == notes(once, "A")


def test_columns_that_mean_one_data_set_complete_each_other_and_are_left_out_where_they_differ(store, make):
    file = make.csv(
        "model,imagenet,x/ImageNet", "first,10,", "second,,20", "same,30,30", "differ,40,41", "none,,"
    )
    found = table(store, file, published_rows="all")
    values = {row.header[0]: row.entries[0].value for row in found.rows if row.published}
    assert values == {"first [others]": 0.1, "second [others]": 0.2, "same [others]": 0.3}
    (said,) = [text for text in found.footnotes if "all mean it" in text]
    assert "'top1' of [others] on ImageNet for 1 of 5 models: 'imagenet', 'x/ImageNet'" in said


def test_numbers_of_another_scale_are_named(store, make):
    head = "# source: p\n# date: 2024\n# metric: top1\n# unit: none\n"
    found = table(store, make.csv(*ROWS, head=head))
    assert "without 'top1' of [others]: it is a fraction only here" in found.footnotes
    more = table(store, make.csv("model,imagenet,top5 of imagenet", "a,10,20"))
    assert not any("fraction only" in text for text in more.footnotes)


def test_a_mean_over_fewer_data_sets_stands_nowhere_among_published_means(make):
    made = make(tables=[{"name": "all", "columns": ["tag.dataset.role"], "values": ["top1"]}])
    for model, dataset in (("A", "fog 1"), ("A", "fog 2"), ("B", "fog 1")):
        made.record(model, dataset, 0.5, tags={"dataset.role": "corruption"})
    rows = (
        "dataset,a,b",
        "imagenet-c?corruption=fog&severity=1,80,40",
        "imagenet-c?corruption=fog&severity=2,60,20",
    )
    found = table(made.done(), make.csv(*rows))
    assert any("better than 50.0 % of 2" in text for text in notes(found, "A"))
    assert not any("better than" in text for text in notes(found, "B"))
    assert any("not compared with published means: without fog 2" in text for text in notes(found, "B"))


def test_a_difference_of_many_data_sets_is_said_once_in_means_and_in_summaries(make):
    summary = {"name": "er", "columns": ["dataset"], "summary": "effective-robustness"}
    mean = {"name": "mean", "columns": ["tag.dataset.role"], "values": ["top1"]}
    made = make(tables=[mean, summary])
    for dataset in ("ImageNet", "V2"):
        made.record("A", dataset, 0.5, tags={"dataset.role": "any"})
    head = "# source: p\n# date: 2024\n# metric: top1\n# unit: percent\n# samples: 5000\n# standard: true\n"
    file = make.csv(*ROWS, head=head)
    for found in harness.table("mine", store=made.done().path, add_published=file):
        theirs = [row for row in found.rows if row.published]
        assert theirs
        for row in theirs:
            texts = [found.footnotes[n] for n in row.entries[0].notes]
            assert "published on 5,000 samples; here on 200" in texts, found.name


def test_a_transposed_table_still_knows_which_numbers_are_published(store, make):
    found = table(store, make.csv(*ROWS), transpose=True)
    assert [column.published for column in found.columns][:3] == ["", "", "others"]
    assert "*: best of those measured here;" in found.render()


def test_parameters_in_words_of_an_imported_suite_are_unknown(make):
    from harness.published.background import gather_background

    other = make(suite="theirs")
    other.record("old", "imagenet", 0.4, tags={"settings.parameters": "25.6M"})
    other.record("new", "imagenet", 0.4, tags={"settings.parameters": "3e6"})
    other.done({})
    made = make()
    made.record("A", "ImageNet", 0.5)
    from harness.leaderboard.frame import suite_frame

    store = made.done()
    assert gather_background(["theirs"], suite_frame(store, "mine"), store).facts["parameters"] == ["", "3e6"]


@pytest.mark.parametrize("points", [["model"], ["model", "dataset"]])
def test_the_pareto_plot_has_no_means_over_fewer_data_sets(make, points):
    file = make.csv("model,parameters,imagenet,imagenetv2", "whole,3e6,60,40", "half,2e6,90,")
    options = {"metric": "top1", "points": points}
    kind = {"kind": "pareto", "options": options, "published": [file]}
    made = make(plots=[{"name": "costs", **kind}])
    for model in ("A", "B"):
        for dataset in ("ImageNet", "V2"):
            made.record(model, dataset, 0.5, cost={"parameters": 1e6})
    (axes,) = harness.plots("mine", store=made.done().path)["costs"].axes
    (cloud,) = [
        points for points in axes.collections if hasattr(points, "get_sizes") and len(points.get_sizes())
    ]
    drawn = sorted((float(x), round(float(y), 3)) for x, y in cloud.get_offsets())
    whole = [(3e6, 50.0)] if points == ["model"] else [(2e6, 90.0), (3e6, 40.0), (3e6, 60.0)]
    assert drawn == whole


def test_no_number_is_better_than_others_if_no_direction_is_stated(make):
    class Undirected:
        takes_published, unit, higher_is_better = True, None, None

        def __call__(self, records):
            return records[["model", "dataset"]].assign(metric="odd", value=records["top1"])

    harness.register("summaries", "undirected", Undirected)
    made = make(tables=[{"name": "s", "summary": "undirected"}])
    made.record("A", "ImageNet", 0.5)
    found = table(made.done(), make.csv(*ROWS))
    assert any(row.published for row in found.rows)
    assert not any("better than" in text for text in notes(found, "A"))
    assert any("not stated whether more is better" in text for text in found.footnotes)


def test_two_methods_of_a_suite_are_no_seeds_of_one_number(store, make):
    other = make(suite="theirs")
    for seed, (method, accuracy) in enumerate((("probe", 0.4), ("tuned", 0.8))):
        other.record("old", "imagenet", accuracy, seed=seed)
        other.cells[-1]["at"]["method"] = method
    other.record("new", "imagenet", 0.7)
    other.done({})
    found = table(store, "theirs", published_rows="all")
    assert [name for name, of in shown(found) if of] == ["new [theirs]"]
    assert any("1 numbers with several values at one place are left out" in text for text in found.footnotes)


def test_one_fact_in_other_words_does_not_differ(make):
    made = make(tables=[{"name": "all", "values": ["top1"]}])
    note = {"preparation": {"resize": 256, "crop": 224, "interpolation": "bilinear"}}
    made.record("A", "ImageNet", 0.5, notes=note, cell={"precision": "float16"})
    rows = ("model,resolution,precision,imagenet", "same,224x224,FP16,40", "other,224x256,fp32,50")
    found = table(made.done(), make.csv(*rows), published_rows="all")
    assert notes(found, "same [others]") == []
    assert notes(found, "other [others]") == ["published at 224x256 px, fp32; here at 224 px, float16"]
