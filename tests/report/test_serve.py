"""`harness serve`: who may read the page, what may be asked, and how it follows its store."""

import hmac
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from harness.cli import main
from harness.errors import HarnessError, StoreError
from harness.reporting.access import Access
from harness.reporting.live import LiveReport
from harness.reporting.server import ReportServer
from harness.running.logs import CellLog, cell_folder
from harness.running.under_way import RunMarker


@contextmanager
def serving(report, host="127.0.0.1"):
    """Serve a report for the time of the block."""
    with ReportServer(report, host, 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server, path="/", method="GET", body=None, **headers):
    """Return status, headers and body of the answer to a request; names of headers with `_` for `-`."""
    connection = http.client.HTTPConnection("127.0.0.1", server.access.port)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, given)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


@pytest.fixture
def made(maker):
    made = maker(title="Demo", tables=[{"name": "main", "values": ["top1"]}])
    made.record("one", "d", 0.5)
    made.record("two", "d", 0.7)
    made.cells.append({"id": "f" * 20, "at": {**made.cells[0]["at"], "model": "later"}, "tags": {}})
    made.done()
    return made


@pytest.fixture
def server(made):
    with serving(LiveReport(made.store)) as server:
        yield server


def test_the_page_may_only_run_its_own_script(server):
    status, headers, body = ask(server)
    assert status == 200
    assert b"table-demo-main" in body
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["script-src"].startswith("'sha256-")
    assert "unsafe-inline" not in policy["style-src-elem"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"]
)
def test_nothing_but_reading_is_allowed(server, method):
    status, headers, _ = ask(server, "/", method, body=b"x" * 1000)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_a_head_has_no_body(server):
    status, headers, body = ask(server, "/update", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 100


@pytest.mark.parametrize(
    "path",
    ["/../secret.json", "/records/", "/%2e%2e/secret.json", "//etc/passwd", "/secret.json", "/record?id=../secret",
     "/record?id=" + "0" * 20, "/record?id=%00", "/record", "/index.html", "/update/..", "/suites/demo.json"],
)  # fmt: skip
def test_no_path_leads_to_a_file(server, made, path):
    (made.store.path.parent / "secret.json").write_text("{}")
    assert ask(server, path)[0] == 404


def test_a_page_of_another_site_cannot_come_in_by_its_name(server):
    port = server.access.port
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        assert ask(server, Host=f"{name}:{port}")[0] == 200, name
    for wrong in (
        f"evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        f"10.0.0.1:{port}",
        f"localhost.evil:{port}",
        "",
        ":",
    ):
        assert ask(server, Host=wrong)[0] == 421, wrong
    raw = socket.create_connection(("127.0.0.1", port))
    raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert b" 421 " in raw.recv(100)
    raw.close()


def test_other_hosts_need_the_token(made):
    with serving(LiveReport(made.store), "0.0.0.0") as server:
        token, host = server.access.token, f"127.0.0.1:{server.access.port}"
        assert len(token) >= 32
        assert f"?token={token}" in server.access.url
        for path in (
            "/",
            "/update",
            "/record?id=" + made.cells[0]["id"],
            "/nothing",
            "/?token=",
            "/?token=x",
            f"/update?token={token}",
        ):
            assert ask(server, path, Host=host)[0] == 401, path
        status, headers, body = ask(server, f"/?token={token}", Host=host)
        assert (status, headers["Location"], body) == (303, "/", b"")
        cookie, _, rest = headers["Set-Cookie"].partition(";")
        assert "HttpOnly" in rest
        assert "SameSite=Strict" in rest
        assert ask(server, Host=host, Cookie=f"other=1; {cookie}")[0] == 200
        assert ask(server, Host=host, Cookie=cookie[:-1])[0] == 401
        assert ask(server, "/update", Host=host, Authorization=f"Bearer {token}")[0] == 200
        for wrong in (f"Basic {token}", f"Bearer {token}x", "Bearer", "Bearer é"):
            assert ask(server, "/update", Host=host, Authorization=wrong.encode("latin-1"))[0] == 401
        assert ask(server, Host=f"evil.example:{server.access.port}", Cookie=cookie)[0] == 421
    assert Access("0.0.0.0", "0.0.0.0", 80).token != token


def test_tokens_are_compared_in_constant_time(monkeypatch):
    compared = []
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or False)
    access = Access("0.0.0.0", "0.0.0.0", 80)
    assert not access.admits(None, f"{access.cookie}={access.token}")
    assert not access.admits(f"Bearer {access.token}", None)
    assert compared == [(access.token.encode(),) * 2] * 2


@pytest.mark.parametrize(
    ("host", "address", "header", "accepted"),
    [
        ("::1", "::1", "[::1]:80", True),
        ("::1", "::1", "[::1]", True),
        ("box.lan", "10.0.0.7", "box.lan", True),
        ("box.lan", "10.0.0.7", "10.0.0.7:80", True),
        ("box.lan", "10.0.0.7", "other.lan", False),
        ("127.0.0.1", "127.0.0.1", "10.0.0.7", False),
        ("127.0.0.1", "127.0.0.1", "localhost.:80", True),
        ("127.0.0.1", "127.0.0.1", "localhost:８０", False),
    ],
)
def test_hosts_by_name_and_address(host, address, header, accepted):
    assert Access(host, address, 80).accepts_host(header) is accepted


def test_only_what_has_changed_is_sent(made):
    report = LiveReport(made.store)
    while report.refresh():
        pass
    first = report.update("")
    assert {"nav", "overview", "suite-demo-head", "table-demo-main"} <= first["parts"].keys()
    assert first["layout"][0][0] == "suite-demo"
    same = report.update(first["version"])
    assert same == {"version": first["version"], "runs": [], "problem": ""}
    later = report.store.read(made.cells[0]["id"])
    later.id, later.coordinates = "f" * 20, made.cells[2]["at"]
    later.metrics["top1"] = 0.9
    report.store.write(later)
    assert report.refresh()
    update = report.update(first["version"])
    assert "nav" not in update["parts"]
    assert "90.0" in update["parts"]["table-demo-main"]
    assert "3 cells: 3 ok." in update["parts"]["overview"]
    codes, ids = update["index"]["status"], update["index"]["id"]
    assert codes[0][codes[1][ids.index("f" * 20)]] == "ok"
    assert report.update("00000000.1")["parts"].keys() == report.update("")["parts"].keys()
    for odd in ("x", "." * 9, first["version"] + "x", first["version"].split(".")[0] + ".²"):
        assert "parts" in report.update(odd)


def test_details_are_those_of_the_record(server, made):
    id = made.cells[0]["id"]
    status, _, body = ask(server, f"/record?id={id}")
    found = json.loads(body)
    assert status == 200
    assert found["detail"]["metrics"] == made.store.read(id).metrics
    assert found["pool"][found["detail"]["provenance"]["libraries"]] == {"torch": "2.4.0"}
    assert found["detail"]["samples"]["total"] == 200
    assert json.loads(ask(server, "/record?id=" + "f" * 20)[2])["detail"] is None


def test_suites_come_go_and_are_chosen(made):
    report, only = LiveReport(made.store), LiveReport(made.store, ["demo"])
    made.store.write_manifest({"name": "second", "protocol": "zero"}, made.cells)
    assert report.refresh()
    assert [anchor for anchor, _ in report.update("")["layout"]] == ["suite-demo", "suite-second"]
    only.refresh()
    assert [anchor for anchor, _ in only.update("")["layout"]] == ["suite-demo"]
    (made.store.path / "suites" / "second.json").unlink()
    assert report.refresh()
    assert [anchor for anchor, _ in report.update("")["layout"]] == ["suite-demo"]


def test_a_damaged_plan_leaves_the_page_as_it_was(made):
    report = LiveReport(made.store)
    before = report.update("")["parts"]["table-demo-main"]
    (made.store.path / "suites" / "demo.json").write_text("{")
    report.refresh()
    assert report.update("")["parts"]["table-demo-main"] == before
    assert "demo.json" in report.problem


class Started:
    """A cell of a plan, as far as the marker asks."""

    id, shown = "f" * 20, "later · d"

    class suite:
        name = "demo"

    @staticmethod
    def counts():
        return {"run": 3}


def test_running_cells_come_with_their_curves(made):
    report = LiveReport(made.store)
    marker = RunMarker(made.store.path)
    marker.run_started(Started)
    marker.cell_started(Started)
    log = CellLog(cell_folder(made.store.path, Started.shown, Started.id))
    log.curve("training", 1, {"loss": 2.0})
    ((run,),) = (report.update("")["runs"],)
    assert (run["title"], run["done"], run["total"]) == ("Demo", 0, 3)
    assert run["cells"][0]["curves"] == {"training": {"loss": [[1.0], [2.0]]}}
    log.curve("training", 2, {"loss": 1.0})
    assert report.update("")["runs"][0]["cells"][0]["curves"]["training"]["loss"][1] == [2.0, 1.0]
    marker.run_finished()
    assert report.update("")["runs"] == []


def test_wrong_use_is_one_line(made, tmp_path, capsys):
    store = ["--store", str(made.store.path)]
    taken = socket.create_server(("127.0.0.1", 0))
    wrong = {
        "no such store": ["--store", str(tmp_path / "nowhere")],
        "did you mean 'demo'?": ["dmeo", *store],
        "name another, or 0": [*store, "--port", str(taken.getsockname()[1])],
        "no such address": [*store, "--host", "no.such.host.invalid"],
    }
    for told, arguments in wrong.items():
        assert main(["serve", *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
    taken.close()
    with pytest.raises(StoreError, match="no records yet"):
        LiveReport(type(made.store)(tmp_path))
    with pytest.raises(SystemExit):
        main(["serve", *store, "--port", "65536"])
    with pytest.raises(HarnessError):
        ReportServer(LiveReport(made.store), "203.0.113.1", 0)


def test_the_command_tells_its_address_and_ends_with_ctrl_c(made):
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "serve", "--json", "--port", "0", "--store", str(made.store.path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )  # fmt: skip
    told = json.loads(process.stdout.readline())
    host, _, port = told["url"].removeprefix("http://").rstrip("/").partition(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.request("GET", "/")
    assert b"table-demo-main" in connection.getresponse().read()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (0, "", "")
