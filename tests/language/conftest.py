"""A server on this machine that speaks OpenAI's protocol with images, and fails as its test says."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness_language.conversations import ImagePart, Question, Turn
from harness_language.endpoint_model import ChatEndpoint

KEY = "sk-secret-0123456789"
PATIENT = 60.0
"""Seconds, for answers that do come: no test waits that long unless it fails."""

Step = Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]


def read_images(body: dict[str, Any]) -> list[tuple[str, Image.Image]]:
    """The images of a request, in their order: the kind of file and the picture."""
    found = []
    for message in body["messages"]:
        for part in message["content"] if isinstance(message["content"], list) else []:
            if part["type"] == "image_url":
                kind, _, data = part["image_url"]["url"].partition(";base64,")
                opened = Image.open(io.BytesIO(base64.b64decode(data)))
                found.append((kind.removeprefix("data:image/"), opened.convert("RGB")))
    return found


def read_texts(body: dict[str, Any]) -> str:
    """The texts of a request, images as their colour: what the model behind the server sees."""
    found = []
    for message in body["messages"]:
        parts = message["content"]
        for part in [{"type": "text", "text": parts}] if isinstance(parts, str) else parts:
            found.append(part["text"] if part["type"] == "text" else "<>")
    colours = iter(str(image.getpixel((0, 0))) for _, image in read_images(body))
    return "|".join(next(colours) if text == "<>" else text for text in found)


def say(body: dict[str, Any]) -> dict[str, Any]:
    """The model: words that all texts and images decide; its first token is a letter with a probability."""
    seen = read_texts(body)
    digest = hashlib.sha256(seen.encode()).hexdigest()
    letter, other = ("A", "B") if int(digest[0], 16) % 2 else ("B", "A")
    words = [letter, seen, *(digest[n : n + 4] for n in range(0, 32, 4))]
    limit = body.get("max_tokens", body.get("max_completion_tokens"))
    text = " ".join(words[:limit])
    cut = limit < len(words)
    for stop in body.get("stop", []):
        if stop in text:
            text, cut = text.partition(stop)[0], False
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "length" if cut else "stop"}
    if body.get("logprobs"):
        share = 0.5 + int(digest[1:3], 16) / 600
        listed = [(letter, share), (other, (1 - share) / 2), ("The", 0.01)]
        top = [{"token": token, "logprob": math.log(p)} for token, p in listed]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    usage = {"prompt_tokens": len(seen), "completion_tokens": min(limit, len(words))}
    return {"choices": [choice], "usage": usage}


class ChatServer:
    """Answers every request by `step`, which a test may replace; `requests` are those whose answer was sent whole."""

    def __init__(self) -> None:
        self.step: Step = lambda handler, body: answer(handler, say(body))
        self.seen: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.tries: Counter[str] = Counter()
        self.connections = self.most_at_once = self._at_once = 0
        self.over = threading.Event()
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            over = outer.over
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                with outer._lock:
                    outer.connections += 1

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.path.endswith("/v1/chat/completions")
                with outer._lock:
                    outer.seen.append(body)
                    outer.times.append(time.monotonic())
                    outer.headers.append({"path": self.path, **dict(self.headers)})
                    outer.tries[read_texts(body)] += 1
                    outer._at_once += 1
                    outer.most_at_once = max(outer.most_at_once, outer._at_once)
                try:
                    outer.step(self, body)
                finally:
                    with outer._lock:
                        outer._at_once -= 1

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                pass  # clients that are killed are part of the tests

        self.server = Quiet(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def close(self) -> None:
        """End all that is under way."""
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    def first_then(self, *steps: Step) -> None:
        """Take these steps for the first tries of each question, and answer the next."""

        def step(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
            number = self.tries[read_texts(body)]
            (steps[number - 1] if number <= len(steps) else lambda h, b: answer(h, say(b)))(handler, body)

        self.step = step


def reply(status: int, content: Any, **headers: str) -> Step:
    """The step that sends a status with a body."""

    def step(handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return step


def answer(handler: BaseHTTPRequestHandler, content: Any) -> None:
    """Send a completion."""
    reply(200, content)(handler, {})


def complete(message: dict[str, Any], finish: str = "stop") -> Step:
    """The step that answers with a message."""
    return reply(200, {"choices": [{"message": message, "finish_reason": finish}]})


def disconnect(handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
    """Close without a word."""
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def break_off(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    """Close in the middle of a good answer."""
    data = json.dumps(say(body)).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])
    handler.wfile.flush()
    disconnect(handler, body)


def stay_silent(handler: Any, _: dict[str, Any]) -> None:
    """No answer before the test is over."""
    handler.over.wait(PATIENT)


def colour(red: int, green: int, blue: int, side: int = 4) -> ImagePart:
    """A picture of one colour."""
    return ImagePart(np.full((side, side, 3), (red, green, blue), np.uint8))


def ask(*parts: Any, id: str = "q", **limits: Any) -> Question:
    """A question in one turn."""
    return Question(id, (Turn("user", parts),), **limits)


def without_proxies(patch: pytest.MonkeyPatch) -> None:
    """Let requests to this machine stay on it."""
    for name in ("http_proxy", "HTTP_PROXY", "OPENAI_BASE_URL"):
        patch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def lasting_server() -> Iterator[ChatServer]:
    """A server for a model that several tests share."""
    server = ChatServer()
    with pytest.MonkeyPatch.context() as patch:
        without_proxies(patch)
        yield server
    server.close()


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A server; `model(**options)`, loaded, with a log in the test's folder and short waits; and the steps."""
    without_proxies(monkeypatch)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server = ChatServer()

    def model(**options: Any) -> ChatEndpoint:
        given = {
            "address": server.address,
            "timeout": PATIENT,
            "retries": 3,
            "log": tmp_path / "log",
            **options,
        }
        made = ChatEndpoint("m", **given)
        made.load(None)  # type: ignore[arg-type]  # the device is the server's own
        if made._client is not None:
            made._client.first_wait = 0.01
        return made

    yield SimpleNamespace(
        server=server, model=model, log=tmp_path / "log", key=KEY, ask=ask, colour=colour, reply=reply, say=say,
        answer=answer, complete=complete, disconnect=disconnect, break_off=break_off, stay_silent=stay_silent,
        read_images=read_images,
    )  # fmt: skip
    server.close()
