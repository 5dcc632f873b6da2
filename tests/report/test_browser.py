"""The report in real headless Chromium: sorting, filtering, records, keyboard, themes, a phone, a flood.

Needs `chromium` and `chromedriver` (Debian: chromium, chromium-driver). These tests are skipped only
where there is no Chromium at all; CI installs it.
"""

import shutil

import pytest

CHROMIUM = next(
    (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium-driver"
)

PLAIN_TABLE = """const div = document.createElement('div'); div.id = 'plain';
div.innerHTML = '<table>' + '<tr><td>name</td><td>1.5</td><td>2.5</td></tr>'.repeat(5000) + '</table>';
document.body.append(div)"""

LIGHT, DARK = "rgb(255, 255, 255)", "rgb(18, 22, 27)"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """One browser for all tests, with a profile of its own."""
    from selenium import webdriver

    driver = shutil.which("chromedriver")
    assert driver, "Chromium is here but chromedriver is not: apt-get install chromium-driver"
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    off = ("gpu", "background-networking", "component-update", "sync", "dev-shm-usage")
    switches = ["headless=new", "no-sandbox", "window-size=1200,900", f"user-data-dir={profile}"]
    for switch in (*switches, *(f"disable-{name}" for name in off)):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


class Browser:
    """The page as somebody uses it."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path):
        self.driver.get(path.resolve().as_uri())
        self.driver.execute_script("localStorage.clear()")
        self.driver.get_log("browser")
        self.driver.refresh()

    def js(self, script, *arguments):
        return self.driver.execute_script(f"return {script}", *arguments)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def rows(self, board="#t0-0"):
        return self.js(
            "[...document.querySelectorAll(arguments[0] + ' tbody tr')].filter(r => !r.hidden).map(r => r.cells[0].textContent)",
            board,
        )

    def write(self, selector, text):
        """Put a text into a field at once."""
        script = "(e => (e.value = arguments[1], e.dispatchEvent(new Event('input'))))(document.querySelector(arguments[0]))"
        self.js(script, selector, text)

    def took(self, action):
        """Return the milliseconds of an action and its layout."""
        script = f"{action}; document.body.offsetHeight; return performance.now() - start;"
        return self.js(f"(() => {{ const start = performance.now(); {script} }})()")

    def press(self, *keys):
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def ground(self):
        return self.js("getComputedStyle(document.body).backgroundColor")

    def emulate(self, command, **parameters):
        self.driver.execute_cdp_cmd(f"Emulation.{command}", parameters)


@pytest.fixture
def browser(chromium):
    """A browser as it starts; the page must have logged nothing by the end of the test."""
    used = Browser(chromium)
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    scheme = [{"name": "prefers-color-scheme", "value": "light"}]
    used.emulate("setEmulatedMedia", features=scheme)
    yield used
    assert chromium.get_log("browser") == []


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


def sorter(browser, text, board="#t0-1"):
    return next(b for b in browser.all(f"{board} .sort") if text in b.text)


def test_sorting_by_number_and_name(browser, report):
    browser.open(report)
    before = browser.rows("#t0-1")
    header = browser.all("#t0-0 th[data-at]")
    at = {h.get_attribute("data-at"): h for h in header}
    values = lambda n: browser.js(  # noqa: E731
        "[...document.querySelectorAll('#t0-0 tbody tr')].map(r => r.cells[arguments[0]].dataset.v ?? null)",
        n,
    )
    for column, down in (("1", True), ("2", False)):
        at[column].find_element("tag name", "button").click()
        assert at[column].get_attribute("aria-sort") == ("descending" if down else "ascending")
        found = [float(v) for v in values(int(column)) if v is not None]
        assert found == sorted(found, reverse=down)
    at["3"].find_element("tag name", "button").click()
    assert browser.rows("#t0-0")[-1] == "beta"
    at["3"].find_element("tag name", "button").click()
    assert browser.rows("#t0-0")[-1] == "beta"
    assert len(browser.all("#t0-0 th[aria-sort]")) == 1
    at["0"].find_element("tag name", "button").click()
    names = browser.rows("#t0-0")
    assert names == browser.js(
        "arguments[0].slice().sort((a, b) => a.localeCompare(b, 'en', {numeric: true}))", names
    )
    assert browser.rows("#t0-1") == before


def test_groups_stay_together_when_sorted(browser, report):
    browser.open(report)
    groups = "[...document.querySelectorAll('#t0-1 tbody')].map(b => b.rows[0].textContent)"
    members = "[...document.querySelectorAll('#t0-1 tbody')].map(b => [...b.rows].slice(1).map(r => r.cells[0].textContent))"
    before = browser.js(members)
    sorter(browser, "clean").click()
    assert browser.js(groups) == ["even", "odd"]
    after = browser.js(members)
    assert after != before
    assert [sorted(m) for m in after] == [sorted(m) for m in before]


def test_filtering_rows(browser, report):
    browser.open(report)
    box = browser.one("#t0-0 input[type=search]")
    box.send_keys("<SCRIPT> alert")
    assert browser.rows() == ["<script>alert(1)</script>"]
    assert browser.one("#t0-0 .found").text == "1 of 10 rows"
    box.clear()
    box.send_keys("a|b")
    assert browser.rows() == ["a|b"]
    browser.write("#t0-0 input[type=search]", "")
    assert len(browser.rows()) == 10
    assert len(browser.rows("#t0-1")) == 12


def test_a_number_opens_its_records_with_the_keyboard_alone(browser, report):
    from selenium.webdriver.common.keys import Keys

    browser.open(report)
    button = next(
        b for b in browser.all("#t0-0 td button.open") if len(b.get_attribute("data-r").split()) == 2
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
    for _ in range(14):
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
        "Math.max(...[...document.querySelectorAll('#t0-0 tbody tr')].map(r => r.offsetHeight))"
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
    scroller = browser.one("#t0-0 .scroll")
    assert browser.js("arguments[0].scrollWidth > arguments[0].clientWidth", scroller)
    browser.js("arguments[0].scrollLeft = 200", scroller)
    name = browser.one("#t0-0 tbody th").rect
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
    assert len(browser.rows()) == 200
    assert len(browser.all("#records tbody tr")) == 50

    assert browser.took("document.querySelector('#t0-0 th[data-at=\"1\"] button').click()") < 100 * plain
    top = browser.js(
        "[...document.querySelectorAll('#t0-0 tbody tr')].slice(0, 3).map(r => Number(r.cells[1].dataset.v))"
    )
    assert top == sorted(top, reverse=True)
    box = "document.getElementById('search')"
    assert browser.took(f"{box}.value = 'model-4321'; {box}.dispatchEvent(new Event('input'))") < 100 * plain
    assert browser.one("#found").text == "2 of 10,000 records"
    assert browser.took("document.querySelector('#records tbody button.open').click()") < 50 * plain
    assert browser.one("#dialog-title").text.startswith("model-4321")
    browser.one("#close").click()
    browser.js("arguments[0].scrollIntoView({block: 'center'})", browser.one("#t0-0 button.all"))
    browser.one("#t0-0 button.all").click()
    assert len(browser.rows()) == 5000
