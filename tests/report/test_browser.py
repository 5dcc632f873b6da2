"""The report in real headless Chromium: sorting, filtering, records, keyboard, themes, a phone, a flood.

Needs `chromium` and `chromedriver` (Debian: chromium, chromium-driver; conftest.py).
"""

import pytest

PLAIN_TABLE = """const div = document.createElement('div'); div.id = 'plain';
div.innerHTML = '<table>' + '<tr><td>name</td><td>1.5</td><td>2.5</td></tr>'.repeat(5000) + '</table>';
document.body.append(div)"""

LIGHT, DARK = "rgb(255, 255, 255)", "rgb(18, 22, 27)"


@pytest.fixture(scope="module")
def report(module_maker, tmp_path_factory, nasty):
    """A report with nasty names, several seeds, two groups, a failed cell and plots."""
    from harness.reporting import write_report

    made = module_maker(
        title="Robustness",
        tables=[{"name": "main", "values": ["top1", "ece"]}, {"name": "grouped", "group": "model.family"}],
        plots=[{"name": "dots", "kind": "bars"}, {"name": "size", "kind": "pareto"}],
    )
    for n, name in enumerate([*nasty, "alpha", "beta"]):
        tags = {"model.family": "even" if n % 2 == 0 else "odd"}
        for seed in (0, 1):
            made.record(name, "clean", 0.30 + 0.05 * n, seed, tags=tags)
            if name != "beta":
                made.record(name, "shifted", 0.9 - 0.07 * n, seed, tags=tags)
    failed = {"status": "failed", "reason": "<i>no</i>", "traceback": "Traceback"}
    made.record("beta", "shifted", **failed, tags={"model.family": "odd"})
    return write_report(made.done(), None, tmp_path_factory.mktemp("page") / "a report.html")


def sorter(browser, text, board="#table-demo-grouped"):
    return next(b for b in browser.all(f"{board} .sort") if text in b.text)


def test_sorting_by_number_and_name(browser, report):
    browser.open(report)
    before = browser.rows("#table-demo-grouped")
    header = browser.all("#table-demo-main th[data-at]")
    at = {h.get_attribute("data-at"): h for h in header}
    values = lambda n: browser.js(  # noqa: E731
        "[...document.querySelectorAll('#table-demo-main tbody tr')].map(r => r.cells[arguments[0]].dataset.v ?? null)",
        n,
    )
    for column, down in (("1", True), ("2", False)):
        at[column].find_element("tag name", "button").click()
        assert at[column].get_attribute("aria-sort") == ("descending" if down else "ascending")
        found = [float(v) for v in values(int(column)) if v is not None]
        assert found == sorted(found, reverse=down)
    at["3"].find_element("tag name", "button").click()
    assert browser.rows("#table-demo-main")[-1] == "beta"
    at["3"].find_element("tag name", "button").click()
    assert browser.rows("#table-demo-main")[-1] == "beta"
    assert len(browser.all("#table-demo-main th[aria-sort]")) == 1
    at["0"].find_element("tag name", "button").click()
    names = browser.rows("#table-demo-main")
    assert names == browser.js(
        "arguments[0].slice().sort((a, b) => a.localeCompare(b, 'en', {numeric: true}))", names
    )
    assert browser.rows("#table-demo-grouped") == before


def test_groups_stay_together_when_sorted(browser, report):
    browser.open(report)
    groups = "[...document.querySelectorAll('#table-demo-grouped tbody')].map(b => b.rows[0].textContent)"
    members = (
        "[...document.querySelectorAll('#table-demo-grouped tbody')]"
        ".map(b => [...b.rows].slice(1).map(r => r.cells[0].textContent))"
    )
    before = browser.js(members)
    sorter(browser, "clean").click()
    assert browser.js(groups) == ["even", "odd"]
    after = browser.js(members)
    assert after != before
    assert [sorted(m) for m in after] == [sorted(m) for m in before]


def test_filtering_rows(browser, report):
    browser.open(report)
    box = browser.one("#table-demo-main input[type=search]")
    box.send_keys("<SCRIPT> alert")
    assert browser.rows() == ["<script>alert(1)</script>"]
    assert browser.one("#table-demo-main .found").text == "1 of 10 rows"
    box.clear()
    box.send_keys("a|b")
    assert browser.rows() == ["a|b"]
    browser.write("#table-demo-main input[type=search]", "")
    assert len(browser.rows()) == 10
    assert len(browser.rows("#table-demo-grouped")) == 12


def test_a_number_opens_its_records_with_the_keyboard_alone(browser, report):
    from selenium.webdriver.common.keys import Keys

    browser.open(report)
    button = next(
        b
        for b in browser.all("#table-demo-main td button.open")
        if len(b.get_attribute("data-r").split()) == 2
    )
    browser.js("arguments[0].focus()", button)
    browser.press(Keys.ENTER)
    assert browser.one("#dialog-title").text == "2 records"
    assert browser.js("document.getElementById('dialog').open")
    records = browser.all("#content button[data-one]")
    # what tells them apart, since long names are cut on a narrow page; the rest is said once
    assert [r.text for r in records] == ["seed 0", "seed 1"]
    assert browser.one("#content .caption").text == "<script>alert(1)</script> · clean"
    browser.js("arguments[0].focus()", records[1])
    browser.press(Keys.SPACE)
    assert browser.one("#dialog-title").text.endswith("seed 1")
    content = browser.one("#content").text
    assert "top1" in content
    assert "60 hits and 140 misses in 200 samples." in content
    misses = next(b for b in browser.all(".filters button") if b.text == "misses")
    misses.click()
    marks = browser.js("[...document.querySelectorAll('#content tbody tr')].map(r => r.cells[0].className)")
    assert set(marks) == {"miss"}
    summary = next(s for s in browser.all("#content summary") if s.text == "Provenance")
    browser.js("arguments[0].focus()", summary)
    browser.press(Keys.ENTER)
    assert "2026-01-02T03:04:01" in browser.one("#content").text
    browser.one("#back").click()
    assert browser.one("#dialog-title").text == "2 records"
    browser.press(Keys.ESCAPE)
    assert not browser.js("document.getElementById('dialog').open")
    assert browser.js("document.activeElement === arguments[0]", button)


def test_tab_reaches_sorting_filtering_and_numbers(browser, report):
    from selenium.webdriver.common.keys import Keys

    browser.open(report)
    seen = []
    for _ in range(26):
        browser.press(Keys.TAB)
        seen.append(browser.js("['className', 'type', 'id'].map(k => document.activeElement[k]).join('|')"))
    assert seen[0].startswith("skip|")
    assert "|button|theme" in seen
    assert "|search|" in seen
    assert "sort|button|" in seen
    assert "open|button|" in seen


def test_names_are_shown_and_do_nothing(browser, report, nasty):
    browser.open(report)
    assert set(nasty) < set(browser.rows())
    for _ in range(2):
        for name in nasty:
            browser.write("#search", name)
            assert browser.one("#found").text.startswith("4 of"), name
    assert browser.js("document.querySelectorAll('main script, main i, main b').length") == 0
    tall = browser.js(
        "Math.max(...[...document.querySelectorAll('#table-demo-main tbody tr')].map(r => r.offsetHeight))"
    )
    assert tall < 80


def test_a_failed_cell_tells_why(browser, report):
    browser.open(report)
    row = browser.one(".failures tbody tr")
    assert row.text.split()[:2] == ["failed", "<i>no</i>"]
    row.find_element("css selector", "button.open").click()
    assert "<i>no</i>" in browser.one("#content").text
    assert browser.one("#content pre").text == "Traceback"
    browser.one("#close").click()


def test_themes_follow_the_system_and_the_switch(browser, report):
    browser.open(report)
    stroke = "getComputedStyle(document.querySelector('.plot use')).fill"
    assert browser.ground() == LIGHT
    light = browser.js(stroke)
    browser.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert browser.ground() == DARK
    assert browser.js(stroke) != light
    switch = browser.one("#theme")
    switch.click()
    assert (switch.text, browser.ground()) == ("Theme: light", LIGHT)
    browser.driver.refresh()
    assert browser.ground() == LIGHT
    browser.one("#theme").click()
    browser.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    assert browser.ground() == DARK


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser, report, scheme):
    """Contrast of at least 4.5 to 1 for all text (WCAG 2.2, criterion 1.4.3)."""
    browser.open(report)
    browser.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    colors = browser.js(
        """(() => {
        const parse = (c) => c.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
            .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
        const out = {};
        for (const e of document.querySelectorAll('body *')) {
            const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
            if (!own || e.closest('svg, script, style, .sr, :disabled') || !e.offsetParent) continue;
            let under = e, ground = [0, 0, 0, 0];
            while (under && (ground.length === 4 && ground[3] === 0)) {
                ground = parse(getComputedStyle(under).backgroundColor); under = under.parentElement;
            }
            const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground)].sort((x, y) => y - x);
            const ratio = (a + 0.05) / (b + 0.05);
            const key = e.tagName + '.' + e.className;
            out[key] = Math.min(out[key] ?? 99, ratio);
        }
        return out; })()"""
    )
    assert len(colors) > 10
    assert {k: v for k, v in colors.items() if v < 4.5} == {}


def test_on_a_phone_only_tables_scroll_sideways(browser, report):
    browser.open(report)
    browser.emulate("setDeviceMetricsOverride", width=360, height=700, deviceScaleFactor=2, mobile=True)
    assert browser.js("document.documentElement.scrollWidth") <= 360
    scroller = browser.one("#table-demo-main .scroll")
    assert browser.js("arguments[0].scrollWidth > arguments[0].clientWidth", scroller)
    browser.js("arguments[0].scrollLeft = 200", scroller)
    name = browser.one("#table-demo-main tbody th").rect
    assert abs(name["x"] - scroller.rect["x"]) < 3
    assert name["width"] < 200
    browser.js("arguments[0].click()", browser.one("#records tbody button.open"))
    box = browser.one("#dialog").rect
    assert (box["x"], round(box["width"])) == (0, 360)
    assert browser.js("document.getElementById('content').scrollWidth <= 360")
    browser.one("#close").click()


def test_every_control_has_a_name(browser, report):
    browser.open(report)
    nameless = browser.js(
        """[...document.querySelectorAll('button, input, select, a')].filter((e) => !(e.textContent.trim()
        || e.getAttribute('aria-label') || (e.labels && e.labels.length))).map((e) => e.outerHTML)"""
    )
    assert nameless == []
    assert len(browser.all("main h2")) == 2
    for plot in browser.all(".plot svg"):
        assert plot.get_attribute("role") == "img"
        assert plot.get_attribute("aria-label")


def test_ten_thousand_records_stay_usable(browser, large):
    browser.driver.get(large.as_uri())
    ready = browser.js("performance.timing.domContentLoadedEventEnd - performance.timing.navigationStart")
    # what this machine takes for a plain table of as many rows: 20 ms or so where it is quiet
    plain = max(browser.took(PLAIN_TABLE), 5)
    browser.js("document.getElementById('plain').remove()")
    assert ready < 250 * plain
    assert browser.one("#found").text == "10,000 records"
    assert len(browser.rows("#table-large-all")) == 200
    assert len(browser.all("#records tbody tr")) == 50

    assert (
        browser.took("document.querySelector('#table-large-all th[data-at=\"1\"] button').click()")
        < 100 * plain
    )
    top = browser.js(
        "[...document.querySelectorAll('#table-large-all tbody tr')].slice(0, 3).map(r => Number(r.cells[1].dataset.v))"
    )
    assert top == sorted(top, reverse=True)
    box = "document.getElementById('search')"
    assert browser.took(f"{box}.value = 'model-4321'; {box}.dispatchEvent(new Event('input'))") < 100 * plain
    assert browser.one("#found").text == "2 of 10,000 records"
    assert browser.took("document.querySelector('#records tbody button.open').click()") < 50 * plain
    assert browser.one("#dialog-title").text.startswith("model-4321")
    browser.one("#close").click()
    browser.js("arguments[0].scrollIntoView({block: 'center'})", browser.one("#table-large-all button.all"))
    browser.one("#table-large-all button.all").click()
    assert len(browser.rows("#table-large-all")) == 5000


def test_the_third_click_restores_the_original_order(browser, report):
    browser.open(report)
    for board in ("#table-demo-main", "#table-demo-grouped", "#records"):
        before = browser.rows(board)
        header = next(
            h for h in browser.all(f"{board} thead th") if h.find_elements("css selector", ".value .sort")
        )
        orders = []
        for _ in range(3):
            browser.js("arguments[0].querySelector('button').click()", header)
            orders.append(browser.rows(board))
        assert orders[0] != orders[1], board
        assert orders[2] == before, board
        assert header.get_attribute("aria-sort") is None


def test_a_link_to_a_record_survives_a_reload(browser, report):
    browser.open(report)
    button = next(b for b in browser.all("#table-demo-main td button.open") if b.text == "30.0")
    browser.js("arguments[0].click()", button)
    several = browser.js("location.hash")
    assert several.startswith("#records-")
    browser.driver.refresh()
    assert browser.one("#dialog-title").text == "2 records"
    browser.all("#content button[data-one]")[1].click()
    title, link = browser.one("#dialog-title").text, browser.js("location.hash")
    assert title.endswith("seed 1")
    id = link.removeprefix("#record-")
    assert browser.one("#content .caption a").get_attribute("href").endswith(link)
    browser.driver.refresh()
    assert browser.one("#dialog-title").text == title
    assert browser.js("document.getElementById('dialog').open")
    assert id in browser.one("#content").text
    browser.one("#close").click()
    assert browser.js("location.hash") == ""
    browser.driver.refresh()
    assert not browser.js("document.getElementById('dialog').open")
    browser.js("(location.hash = '#record-' + '0'.repeat(20))")
    browser.wait("document.getElementById('dialog').open")
    assert "no record 00000000000000000000" in browser.one("#content").text


def test_the_way_back_leaves_a_record(browser, report):
    browser.open(report)
    browser.js("arguments[0].click()", browser.one("#records tbody button.open"))
    assert browser.js("location.hash").startswith("#record-")
    browser.driver.back()
    browser.wait("!document.getElementById('dialog').open")
    assert browser.js("location.hash") == ""


def test_tables_fold_and_a_link_to_one_unfolds_it(browser, report):
    browser.open(report)
    table, board = "document.querySelector('#table-demo-main table')", browser.one("#table-demo-main")
    shown = lambda: browser.js(f"{table}.checkVisibility()")  # noqa: E731
    assert shown()
    board.find_element("css selector", "summary").click()
    assert not shown()
    browser.js("arguments[0].click()", browser.one('#overview a[href="#table-demo-main"]'))
    browser.wait(f"{table}.checkVisibility()")
    browser.one("#fold").click()
    assert browser.js("[...document.querySelectorAll('#suites table')].every(t => !t.checkVisibility())")
    browser.driver.refresh()
    assert shown()
    assert browser.js("location.hash") == "#table-demo-main"
    top = browser.js("document.querySelector('#table-demo-main').getBoundingClientRect().top")
    assert 0 <= top < 300


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_no_page_is_wider_than_its_screen(browser, report, width, height):
    browser.open(report)
    browser.emulate(
        "setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
    )
    assert browser.js("document.documentElement.scrollWidth") <= width
    wide = browser.js(
        """[...document.querySelectorAll('body *')].filter((e) => e.checkVisibility() && !e.closest('.sr, .skip')
        && !e.parentElement.closest('.scroll, nav, svg') && e.getBoundingClientRect().right > innerWidth + 1)
        .map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert wide == []
    figures = browser.js(
        """[...document.querySelectorAll('.plot svg')].map((svg) => [svg.closest('.scroll'), svg.closest('.plot')]
        .map((e) => e.getBoundingClientRect().width))"""
    )
    assert len(figures) == 2
    assert all(0 < box <= column for box, column in figures)  # on a phone, a figure scrolls in its box


def test_the_summary_tells_what_the_page_holds(browser, report):
    browser.open(report)
    overview = browser.one("#overview").text
    assert "39 cells: 38 ok, 1 failed." in overview
    assert "torch 2.4.0" in overview
    assert "2 January 2026, 03:04 UTC" in overview
    links = browser.js("[...document.querySelectorAll('#overview li a')].map(a => a.getAttribute('href'))")
    assert links[:2] == ["#table-demo-main", "#table-demo-grouped"]
    assert all(browser.js("document.querySelector(arguments[0]) !== null", link) for link in links)
