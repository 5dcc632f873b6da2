"""Files of published results: what they mean, and one line for each way to get them wrong."""

import math

import pytest

from harness.errors import HarnessError
from harness.published.background import normalise_dataset
from harness.published.finding import list_published_sets, read_published_set
from harness.published.published_set import parse_published_set

HEAD = "# source: a paper\n# commit: abc\n# metric: top1\n# unit: percent\n"


def parse(text):
    return parse_published_set("s", text, "s.csv")


def test_numbers_facts_and_source_are_the_files():
    found = parse(
        "# source: a paper,\n# page 3\n# date: 2024-01-02\n# metric: top1\n# unit: percent\n# models: timm:{model}\n"
        "# precision: float16\n# samples: x = 100\n# note: a note\n"
        "model,resolution,x,y?a=1,mce of z\none,224,69.752,,76.38\ntwo,,100,0.5,\n"
    )
    assert found.source == "a paper, page 3, date 2024-01-02"
    assert found.models == ("one", "two")
    assert found.written == ("timm:one", "timm:two")
    assert found.numbers["top1", "x"] == [69.752 / 100, 1.0]
    assert math.isnan(found.numbers["top1", "y?a=1"][0])
    assert found.numbers["mce", "z"][0] == 76.38  # percent is of the set's own metric
    assert (found.fractions, found.lower) == ({"top1"}, {"mce"})
    assert found.facts == {"precision": ["float16", "float16"], "resolution": ["224", ""]}
    assert (found.counts, found.note) == ({"x": 100}, "a note")


def test_a_file_may_have_models_as_columns():
    rows = [["one", "1", "2"], ["two", "3", ""]]
    upright = parse(HEAD + "model,x,y\n" + "\n".join(",".join(r) for r in rows))
    across = parse(HEAD + "dataset,one,two\nx,1,3\ny,2,\n")
    assert repr(upright) == repr(across)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,x\na,1\n", "s.csv: no line '# source: …' in its head"),
        ("# source: p\n# metric: top1\nmodel,x\na,1\n", "no line '# commit: …' or '# date: …'"),
        ("# sorce: p\n" + HEAD + "model,x\na,1\n", "line 1: unknown key 'sorce'; did you mean 'source'?"),
        (HEAD + "# unit: percent\nmodel,x\na,1\n", "line 5: 'unit' occurs twice"),
        (
            "# source: p\n# commit: c\n# metric: m\n# unit: points\nmodel,x\na,1\n",
            "unit: expected percent or",
        ),
        (HEAD + "name,x\na,1\n", "begins with 'model' or 'dataset', and rows, found 'name'"),
        (HEAD, "found 'nothing'"),
        (HEAD + "model,x\na,1,2\n", "line 6: 3 fields, the header has 2"),
        (HEAD + "model,x\na,n/a\n", "line 6: x: expected a number, found 'n/a'"),
        (HEAD + "model,x\na,nan\n", "line 6: x: expected a number, found 'nan'"),
        (HEAD + "model,x\na,1\na,2\n", "the model 'a' occurs twice"),
        (HEAD + "model,x,x\na,1,2\n", "line 5: the column 'x' occurs twice"),
        (HEAD + "# samples: z = 3\nmodel,x\na,1\n", "samples: no column 'z'; did you mean"),
        (HEAD + "# samples: x 3\nmodel,x\na,1\n", "samples: expected 'DATASET = N', found 'x 3'"),
    ],
)
def test_a_wrong_file_is_named_with_the_line_and_the_fault(text, message):
    with pytest.raises(HarnessError) as error:
        parse(text)
    assert str(error.value).startswith("s.csv: ")
    assert message.split("; did")[0] in str(error.value)
    assert "\n" not in str(error.value)


def test_installed_sets_are_found_by_name_and_others_by_path(tmp_path):
    assert {"timm", "openai_clip", "imagenet_testbed", "cifar10_1"} <= set(list_published_sets())
    assert read_published_set("timm") is read_published_set("vision-harness/timm")
    own = tmp_path / "own.csv"
    own.write_text(HEAD + "model,x\na,1\n")
    assert read_published_set(str(own)).name == "own"
    own.write_text(HEAD + "model,x\na,12\n")
    assert read_published_set(str(own)).numbers["top1", "x"] == [0.12]
    with pytest.raises(HarnessError, match="did you mean 'timm'"):
        read_published_set("tim")
    with pytest.raises(HarnessError, match=r"no\.csv: no such file"):
        read_published_set("no.csv")


def test_data_sets_are_compared_without_case_signs_and_order_of_options():
    assert normalise_dataset("ImageNet-V2") == normalise_dataset("imagenetv2")
    assert normalise_dataset("p/c?b=2&a=1") == normalise_dataset("c?a=1&b=2")
    assert normalise_dataset("imagenet") != normalise_dataset("imagenet?classes=imagenet-r")


def test_a_set_of_another_package_is_found_without_importing_it(tmp_path, monkeypatch):
    from harness.discovery import registry

    package, info = tmp_path / "others_results", tmp_path / "others_results-2.0.dist-info"
    (package / "published").mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "published" / "others.csv").write_text(HEAD + "model,x\na,1\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others-results\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(
        "[harness.published]\nothers = others_results\nlost = others_results\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    registry.refresh()
    try:
        assert read_published_set("others").models == ("a",)
        with pytest.raises(HarnessError, match=r"others_results has no file published/lost\.csv"):
            read_published_set("lost")
    finally:
        monkeypatch.undo()
        registry.refresh()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,x\na,0.5\nb,76.1\n", "line 6: x: 76.1 is no fraction from 0 to 1: the head needs a line '# unit: percent'"),
        ("model,x\n#1,0.5\nb,0.7\n", "line 5: a comment below the header"),
        ("model,parameters,x\na,25.6M,0.5\n", "line 5: parameters: expected a number, found '25.6M'"),
        ("model,standard,x\na,yep,0.5\n", "line 5: standard: expected true or false, found 'yep'"),
        ("# standard: all\nmodel,x\na,0.5\n", "standard: expected true or false, found 'all'"),
        ("model,Resolution,x\na,224,0.5\n", "line 4: the column 'Resolution' must be called 'resolution'"),
        ("model,crop_pct,x\na,0.9,0.5\n", "line 4: the column 'crop_pct' must be called 'crop'"),
        ("# parameters: 3M\nmodel,x\na,0.5\n", "line 4: parameters: expected a number, found '3M'"),
        ("# fractions: top5\nmodel,x,top5 of x\na,0.5,81\n", "line 6: top5 of x: 81 is no fraction from 0 to 1: the head's"),
        ("# fractions: top5\nmodel,x,top-5 of x\na,0.5,0.8\n", "fractions: no column 'top5 of DATASET'; did you mean 'top-5'?"),
    ],
)  # fmt: skip
def test_what_would_give_wrong_numbers_is_refused(text, message):
    with pytest.raises(HarnessError) as error:
        parse("# source: p\n# commit: c\n# metric: top1\n" + text)
    assert message in str(error.value)


def test_other_metrics_may_be_fractions_too():
    table = "model,x,top5 of x,mine of x\na,50,0.8,0.9\n"
    assert parse(HEAD + table).fractions == {"top1"}
    found = parse(HEAD + "# fractions: top5, mine\n" + table)
    assert found.fractions == {"top1", "top5", "mine"}
    assert [numbers[0] for numbers in found.numbers.values()] == [0.5, 0.8, 0.9]


def test_blanks_around_fields_do_not_count():
    found = parse(HEAD + 'model, resolution, x\n a , 224, 1\n"#b", 384 ,2\n')
    assert found.models == ("a", "#b")
    assert found.facts["resolution"] == ["224", "384"]
    assert [dataset for _, dataset in found.numbers] == ["x"]
