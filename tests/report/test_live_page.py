"""A served page in real headless Chromium: new records and running trainings come, and the reader's place stays."""

import threading

import pytest

from harness.reporting.live import LiveReport, Watcher
from harness.reporting.server import ReportServer
from harness.running.logs import CellLog, cell_folder
from harness.running.under_way import RunMarker

LATER = "f" * 20


@pytest.fixture
def live(maker, browser, nasty):
    """A store with a cell that is still to run, a report that follows it, and the browser that shows it."""
    made = maker(
        title="Demo",
        tables=[{"name": "main", "values": ["top1"]}, {"name": "other", "values": ["ece"]}],
    )
    for n, name in enumerate([*nasty, *(f"model {n}" for n in range(30))]):
        made.record(name, "clean", 0.3 + 0.01 * n)
    made.cells.append({"id": LATER, "at": {**made.cells[0]["at"], "model": "later"}, "tags": {}})
    made.done()
    report = LiveReport(made.store)
    with ReportServer(report, "127.0.0.1", 0) as server:
        thread, watcher = (
            threading.Thread(target=server.serve_forever, daemon=True),
            Watcher(report, pause=0.1),
        )
        thread.start()
        watcher.start()
        browser.driver.get(server.access.url)
        browser.wait("document.getElementById('live').className === 'live'")
        yield made, browser
        browser.driver.get("about:blank")  # asks no more before there is nobody to answer
        watcher.stop()
        server.shutdown()
        thread.join()


def write_later(made, accuracy=0.99):
    """Write the record of the cell that was still to run."""
    record = made.store.read(made.cells[0]["id"])
    record.id, record.coordinates = LATER, made.cells[-1]["at"]
    record.metrics["top1"] = accuracy
    made.store.write(record)


def test_a_new_record_comes_and_the_readers_place_stays(live):
    made, browser = live
    header = "#table-demo-main th[data-at='1'] button"
    browser.js("document.querySelector(arguments[0]).click()", header)
    browser.js("document.querySelector(arguments[0]).click()", header)
    assert browser.rows()[0] == "<script>alert(1)</script>"  # ascending, with 30%
    browser.write("#table-demo-main input[type=search]", "l")
    browser.one("#table-demo-other summary").click()
    browser.write("#search", "model")
    browser.js("document.querySelector('#records').scrollIntoView()")
    place = "document.querySelector('#records').getBoundingClientRect().top"
    before = browser.js(place)
    browser.js("arguments[0].click()", browser.one("#records tbody button.open"))
    browser.wait("document.getElementById('content').textContent.includes('Metrics')")
    title = browser.one("#dialog-title").text
    assert title.startswith("model ")
    write_later(made)
    browser.wait("document.querySelector('#table-demo-main').textContent.includes('99.0')")
    assert "39 cells: 39 ok." in browser.js("document.querySelector('#overview').textContent")
    rows = browser.rows()
    assert "later" in rows
    assert rows[-1] == "later"  # still ascending
    assert all("l" in row.lower() for row in rows)
    assert browser.js("document.querySelector('#table-demo-main td.fresh').textContent").startswith("99.0")
    assert len(browser.all("#table-demo-main td.fresh")) == 1
    assert not browser.js("document.querySelector('#table-demo-other').open")
    assert browser.one("#dialog-title").text == title
    assert browser.js("document.getElementById('dialog').open")
    assert browser.js("document.getElementById('search').value") == "model"
    assert abs(browser.js(place) - before) < 2
    browser.one("#close").click()
    browser.js(
        "arguments[0].click()",
        next(b for b in browser.all("#table-demo-main button.open") if b.text == "99.0"),
    )
    browser.wait("document.getElementById('content').textContent.includes('0.99')")
    assert browser.one("#dialog-title").text == "later · clean"
    assert browser.js("location.hash") == f"#record-{LATER}"


def test_an_open_cell_gets_its_record_when_it_comes(live):
    made, browser = live
    browser.js(f"(location.hash = '#record-{LATER}')")
    browser.wait("document.getElementById('content').textContent.includes('no record of this cell yet')")
    write_later(made)
    browser.wait("document.getElementById('content').textContent.includes('0.99')")


class Started:
    """A cell of a plan, as far as the marker asks."""

    id, shown = LATER, "<b>later</b> · d"

    class suite:
        name = "demo"

    @staticmethod
    def counts():
        return {"run": 1}


def test_running_trainings_draw_their_curves(live):
    made, browser = live
    assert not browser.js("document.querySelector('#under-way').checkVisibility()")
    marker = RunMarker(made.store.path)
    marker.run_started(Started)
    marker.cell_started(Started)
    browser.wait(f"document.querySelector('[data-cell=\"{LATER}\"]')")
    assert browser.one("#under-way h3").text == Started.shown
    log = CellLog(cell_folder(made.store.path, Started.shown, LATER))
    for step in range(1, 4):
        log.curve("training", step, {"loss": 3.0 - step, "top1": 0.1 * step})
    browser.wait("document.querySelectorAll('#under-way svg.curve').length === 2")
    points = "document.querySelector('#under-way path').getAttribute('d').match(/[ML]/g).length"
    browser.wait(f"{points} === 3")
    log.curve("training", 4, {"loss": -1.0, "top1": 0.4})
    browser.wait(f"{points} === 4")
    lowest = "document.querySelector('#under-way .range').textContent"
    assert "-1 – 2" in browser.js(lowest)
    assert browser.js("document.documentElement.scrollWidth <= innerWidth")
    write_later(made)
    marker.run_finished()
    browser.wait("!document.querySelector('#under-way').checkVisibility()")
    browser.wait("document.querySelector('#table-demo-main').textContent.includes('99.0')")
