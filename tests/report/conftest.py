"""Stores made by hand, records of a run without anything having been run; and a browser to look at pages."""

import hashlib
import shutil

import numpy as np
import pytest

from harness.records.record import Record
from harness.records.store import Store

CHROMIUM = next(
    (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None
)

NASTY = (
    "<script>alert(1)</script>",
    "a|b",
    "$x_1$",
    "../../x",
    "long " + "n" * 300,
    "emoji 🐈‍⬛ 模型",
    "_hidden & \"quoted\" 'name'",
    "</script><!-- <b>",
)


class Maker:
    """Writes records of made-up accuracies, in the order of the calls."""

    def __init__(self, path, suite="demo", **content):
        self.store, self.suite, self.cells = Store(path), suite, []
        self.content = {"name": suite, "protocol": "zero", **content}
        self.files = {}

    def record(self, model, dataset, accuracy=0.8, seed=0, status="ok", n=200, files=True, **more):
        """One record, with per-sample predictions of about that accuracy over five classes."""
        at = {"experiment": self.suite, "protocol": "zero", "model": model, "dataset": dataset, "method": ""}
        at |= {**more.get("axes", {}), "seed": seed}
        tags = more.get("tags", {})
        id = hashlib.sha256(repr((self.suite, sorted(at.items()))).encode()).hexdigest()[:20]
        self.cells.append({"id": id, "at": at, "tags": tags})
        part = {"plugin": "p", "distribution": "d", "version": "1", "tags": {}, "options": {}, "identity": {}}
        cell = {
            "model": {**part, "label": model},
            "dataset": {**part, "label": dataset, **_dataset(*more.pop("dataset_part", ("p", {})))},
            "seed": seed,
        }
        texts = {k: v for k, v in more.items() if k in ("reason", "traceback", "notes")}
        record = Record(id, status, self.suite, at, tags, cell, **texts)
        record.provenance = {
            "started": f"2026-01-02T03:04:{seed % 60:02d}.000+00:00",
            "libraries": {"torch": "2.4.0"},
            "device": {"type": "cpu"},
            "environment": "abc123",
        }
        samples = None
        if more.get("fake"):
            record.metrics, record.units, record.count = {"top1": accuracy}, {"top1": "fraction"}, n
        elif status == "ok":
            rng = np.random.default_rng([seed, n])
            target = np.arange(n) % 5
            right = np.arange(n) < round(accuracy * n)
            rng.shuffle(right)
            samples = {
                "id": [f"{dataset[:20]}/{i:05d}" for i in range(n)],
                "target": target,
                "prediction": np.where(right, target, (target + 1 + np.arange(n) // 5 % 3) % 5),
                "confidence": rng.uniform(0.3, 1.0, n).astype(np.float32),
                "top1": right.astype(np.float32),
            }
            record.metrics = {"top1": float(right.mean()), "ece": 0.05}
            record.directions = {"top1": True, "ece": False}
            record.units, record.binary, record.count = {"top1": "fraction"}, ["top1"], n
            record.cost = {"parameters": float(more.get("parameters", 1e6)), "seconds": 1.5}
        beside = (samples, more.get("curves"), more.get("images")) if files else ()
        self.store.write(record, *beside)
        return id

    def done(self):
        """Write the plan, after which the store looks as a run leaves it."""
        self.store.write_manifest(self.content, self.cells)
        return self.store


def _dataset(plugin, options):
    return {"plugin": plugin, "options": options, "distribution": "(this process)"}


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    """The report on 10,000 records, one table row each."""
    from harness.reporting import write_report

    folder = tmp_path_factory.mktemp("large")
    made = Maker(
        folder / "store", suite="large", tables=[{"name": "all", "values": ["top1"], "intervals": "none"}]
    )
    for n in range(10_000):
        made.record(
            f"model-{n % 5000:04d}", f"data-{n // 5000}", (n * 7919 % 10_000) / 10_000, n=10_000, fake=True
        )
    return write_report(made.done(), None, folder / "report.html")


@pytest.fixture
def maker(tmp_path):
    """Make a store in a new folder."""
    return lambda **content: Maker(tmp_path / "store", **content)


@pytest.fixture(scope="session")
def nasty():
    """Names that break what does not escape them."""
    return NASTY


@pytest.fixture(scope="module")
def module_maker(tmp_path_factory):
    """Make a store that all tests of a module share."""
    return lambda **content: Maker(tmp_path_factory.mktemp("shared") / "store", **content)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """One browser for all tests, with a profile of its own; without any Chromium, which CI installs, they are skipped."""
    from selenium import webdriver

    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt-get install chromium-driver")

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

    def rows(self, board="#table-demo-main"):
        """Return the first cells of the rows of a board that are shown."""
        return self.js(
            "[...document.querySelectorAll(arguments[0] + ' tbody tr')].filter(r => !r.hidden).map(r => r.cells[0].textContent)",
            board,
        )

    def wait(self, condition):
        """Wait until a script's value is true, and return it."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, 120).until(lambda _: self.js(condition))

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
