"""Pretrained networks of transformers, from a folder or the hub: what is missing, what identifies them, loading."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from harness import OptionError, Unavailable
from harness.inference.weights import digest, explain_missing_file, explain_weights_download, one_line

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""Of the weights; `auto` is as they are saved."""

OLDEST = (4, 56)
"""Version of transformers from which on networks are loaded with `dtype`."""

_DECIDING = (".json", ".jinja", ".model", ".safetensors", ".txt")
_REMEDY = (
    "get it on a machine with a network, and give the folder in the hub's cache, or one of save_pretrained's"
)


@dataclass(frozen=True)
class PretrainedSource:
    """Where a network comes from: a folder as `save_pretrained` writes it, or a name on the hub with a revision."""

    where: str
    name: str
    revision: str | None = None

    @property
    def folder(self) -> Path | None:
        """The folder, or None for a name on the hub."""
        path = Path(self.name).expanduser()
        return path if path.is_dir() or path.is_absolute() or self.name.startswith((".", "~")) else None

    def find_problem(self) -> str | None:
        """Return what is missing (the library, the folder, weights as safetensors), or None; nothing is downloaded."""
        try:
            here = version("transformers")
        except PackageNotFoundError:
            return f"{self.where}: transformers is not installed; pip install 'vision-harness[text]'"
        if tuple(int(n) for n in here.split(".")[:2]) < OLDEST:
            wanted = ".".join(map(str, OLDEST))
            return f"{self.where}: transformers is {here}, expected at least {wanted}; pip install -U transformers"
        if (folder := self.folder) is None:
            return None
        if not (folder / "config.json").is_file():
            return f"{self.where}: no folder with config.json; save a model there with save_pretrained"
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            return f"{self.where}: no weights as safetensors (others are not loaded, for they can run code)"
        problems = (explain_missing_file(self.where, file) for file in files)
        return next((problem for problem in problems if problem), None)

    def fingerprint(self) -> str:
        """Return a digest of the folder's files or the revision on the hub, with the version of transformers."""
        known = (
            f"revision {self.revision or 'main'}" if self.folder is None else f"sha256:{self.digest_files()}"
        )
        return f"{known} transformers {version('transformers')}"

    def digest_files(self) -> str:
        """Return the SHA-256 of the folder's configurations, tokenizer, templates and weights. Raises Unavailable."""
        folder = self.folder
        if folder is None or not folder.is_dir():
            raise Unavailable(f"{self.where}: no folder of that name")
        files = sorted(p for p in folder.iterdir() if p.suffix in _DECIDING and p.is_file())
        return hashlib.sha256(" ".join(f"{p.name} {digest(p)}" for p in files).encode()).hexdigest()

    def lacks_chat_template(self) -> bool:
        """Return whether it is a folder without a chat template; a name on the hub is not looked up."""
        folder = self.folder
        if folder is None or any((folder / f"chat_template.{kind}").is_file() for kind in ("jinja", "json")):
            return False
        settings = (folder / name for name in ("tokenizer_config.json", "processor_config.json"))
        texts = [p.read_text(encoding="utf-8", errors="replace") for p in settings if p.is_file()]
        return bool(texts) and not any('"chat_template"' in text for text in texts)

    def load_helper(self, kind: str) -> Any:
        """Return the processor or tokenizer that a class of transformers (`AutoProcessor`) makes of it.

        Raises Unavailable if it can't be had or needs another package, OptionError if it can't be read.
        """
        import transformers

        with self._explain_failure():
            return getattr(transformers, kind).from_pretrained(self._place(), **self._safely())

    def load_network(self, kind: str, dtype: Dtype) -> Any:
        """Return the network that a class of transformers (`AutoModelForCausalLM`) makes of it, for evaluation.

        Only safetensors are read and no code of the repository is run; torch's random state stays as it was.
        Raises as `load_helper` does, and OptionError for weights that are missing and would be random.
        """
        import torch
        import transformers

        with self._explain_failure(), torch.random.fork_rng(devices=[]), _no_progress_bar():
            network, facts = getattr(transformers, kind).from_pretrained(
                self._place(), use_safetensors=True, output_loading_info=True, dtype=dtype, **self._safely()
            )
        if missing := sorted(facts["missing_keys"]):
            raise OptionError(
                f"{self.where}: {len(missing)} weights are missing (first: {missing[0]}), and would be random"
            )
        return network.eval().requires_grad_(False)

    def _place(self) -> str:
        return self.name if self.folder is None else str(self.folder)

    def _safely(self) -> dict[str, Any]:
        given: dict[str, Any] = {"trust_remote_code": False}
        return given | ({"revision": self.revision} if self.folder is None else {"local_files_only": True})

    @contextmanager
    def _explain_failure(self) -> Iterator[None]:
        download = explain_weights_download(self.where, _REMEDY) if self.folder is None else nullcontext()
        try:
            with download:
                yield
        except Unavailable:
            raise
        except ImportError as error:
            raise Unavailable(f"{self.where}: it needs another package: {one_line(error)}") from error
        except Exception as error:  # transformers, tokenizers and safetensors each raise their own
            raise OptionError(f"{self.where}: transformers can't load it: {one_line(error)}") from error


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing over the harness's own display."""
    from transformers import utils

    logging: Any = utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
