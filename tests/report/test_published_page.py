"""Published results on the page: thousands of rows and points that stay quick and can be told from one's own."""

import re

import numpy as np
import pytest

from harness.reporting.collect import Published
from harness.reporting.writing import write_files

SETS = {
    "ImageNet": "imagenet",
    "V2": "imagenetv2",
    "A": "imagenet-a",
    "R": "imagenet-r",
    "S": "imagenet-sketch",
    "O": "objectnet",
}
MODELS = 1556

PLAIN = """const div = document.createElement('div'); div.id = 'plain';
div.innerHTML = '<table>' + '<tr><td>name</td><td>1.5</td><td>2.5</td></tr>'.repeat(5000) + '</table>';
document.body.append(div)"""


@pytest.fixture(scope="module")
def page(module_maker, tmp_path_factory):
    """The report on three models among 1,556 published ones on six data sets, all of them shown."""
    folder = tmp_path_factory.mktemp("published")
    rng = np.random.default_rng(0)
    clean = rng.uniform(50, 90, MODELS)
    values = np.stack(
        [clean, *(clean - drop + rng.normal(0, 2, MODELS) for drop in (10, 40, 35, 45, 30))], axis=1
    )
    rows = ["model,standard,parameters," + ",".join(SETS.values())]
    for n, numbers in enumerate(np.clip(values, 0.5, 99)):
        facts = f"network_{n:04d}_patch16_224.recipe_ft_in1k,{str(n % 2 == 0).lower()},{1e6 * (n + 1):g}"
        rows.append(f"{facts},{','.join(f'{v:.3f}' for v in numbers)}")
    rows[2] = rows[2].replace("network_0001", "<b>&\"'")
    file = folder / "many.csv"
    file.write_text("# source: p\n# date: 2024\n# metric: top1\n# unit: percent\n" + "\n".join(rows) + "\n")
    made = module_maker(
        tables=[
            {"name": "main", "values": ["top1"]},
            {"name": "er", "columns": ["dataset"], "summary": "effective-robustness"},
        ],
        plots=[
            {"name": "line", "kind": "scatter-fit"},
            {"name": "cost", "kind": "pareto", "where": {"dataset": "ImageNet"}},
        ],
    )
    for n, model in enumerate(("mine A", "mine B", "mine C")):
        for place, dataset in enumerate(SETS):
            tags = {"dataset.reference": "ImageNet"} if place else {}
            made.record(model, dataset, 0.8 - 0.05 * n - 0.05 * place, tags=tags, parameters=1e7 * (n + 1))
    store = made.store
    store.write_manifest(
        made.content, made.cells, {"references": {"dataset": {k: [v] for k, v in SETS.items()}}}
    )
    out = folder / "page.html"
    done = write_files(store, [], out, folder / "plots", published=Published((str(file),), "all"))
    assert done.problems == []
    return out, done.plots


def test_page_holds_every_row_and_names_every_point(page):
    out, plots = page
    text = out.read_text("utf-8")
    assert len(text.encode()) < 10e6
    assert text.count('<tr class="published"') == 2 * MODELS
    # five shifts and one plot of costs, each with all published models
    titles = re.findall(r"<title>([^<]*)</title></(?:\w+:)?(?:use|path)>", text)
    assert len(titles) == 6 * MODELS
    assert titles.count("network_0007_patch16_224.recipe_ft_in1k [many]") == 6
    assert titles.count("&lt;b&gt;&amp;\"'_patch16_224.recipe_ft_in1k [many]") == 6
    (drawn,) = [p for p in plots if p.name == "demo-line.svg"]
    assert drawn.read_text("utf-8").count("</title></use>") == 5 * MODELS


def test_a_page_of_published_rows_opens_and_filters_quickly(browser, page, request):
    out, _ = page
    browser.driver.get(out.as_uri())
    ready = browser.js("performance.timing.domContentLoadedEventEnd - performance.timing.navigationStart")
    plain = max(browser.took(PLAIN), 5)  # what this machine takes for a plain table: 20 ms or so
    browser.js("document.getElementById('plain').remove()")
    board = "#table-demo-main"
    box = f"document.querySelector('{board} input[type=search]')"
    browser.one(f"{board} button.all").click()
    assert len(browser.rows(board)) == 3 + MODELS
    # the box waits for the typing to stop; the work itself is what is timed
    browser.js(
        f"(() => {{ const box = {box}; box.focus(); const wait = window.setTimeout; window.setTimeout = (work) => {{"
        " const start = performance.now(); work(); document.body.offsetHeight;"
        " window.filtering = performance.now() - start; window.setTimeout = wait; return 0; };"
        " box.value = 'network_12'; box.dispatchEvent(new Event('input')); })()"
    )
    filtering = browser.js("window.filtering")
    assert len(browser.rows(board)) == 100
    if request.config.getoption("--benchmark-enable"):
        assert ready < 2000
        assert filtering < 100
    assert ready < 250 * plain
    assert filtering < 20 * plain


def test_a_published_row_looks_otherwise_and_opens_no_record(browser, page):
    out, _ = page
    browser.open(out)
    row = browser.one("#table-demo-main tr.published")
    assert row.find_elements("css selector", "button") == []
    own = browser.one("#table-demo-main tbody tr:not(.published)")
    color = "getComputedStyle(arguments[0].querySelector('th')).color"
    assert browser.js(color, row) != browser.js(color, own)
    assert browser.js("getComputedStyle(arguments[0].querySelector('th')).fontStyle", row) == "italic"
    assert len(own.find_elements("css selector", "button.open")) == len(SETS)
