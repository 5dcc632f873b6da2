"""What prompts cost: against clip_benchmark's own functions, against padding to 77, and CoOp against a plain loop.

Each test measures both sides in one run, so that a slow machine is slow for both.
"""

from __future__ import annotations

import io
import json
import math
import resource
import subprocess
import sys
import tarfile
import time
from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from harness.contract.data import Sample
from harness.discovery import registry
from harness.learning.draws import rows_of_epoch
from harness.planning import suite as suites
from harness.planning.plan import make_plan
from harness.records.store import Store
from harness.running.worker import RunSettings, Worker
from harness_few_shot.task import FewShotTask
from harness_few_shot.templates import find_templates
from harness_few_shot.texts import TextEmbeddings
from harness_open_clip import OpenClipModel
from harness_prompts.methods.coop import CoOp
from harness_prompts.shot_training import coop_recipe

CONFIG = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": 6, "width": 192, "head_width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2},
}
"""The image tower takes four to five times the text tower's work on 2000 images and 800 texts, as in ViT-B/32."""
NAMES = [
    f"{word} thing"
    for word in ("red", "blue", "green", "grey", "black", "white", "pink", "brown", "gold", "dry")
]
SETS = [
    [t.replace("{}", f"{word} {{}}") for t in find_templates("imagenet-80")]
    for word in ("", "big", "old", "wet", "odd")
]
"""Five sets of 80 templates that share none: the hardest case for encoding texts once."""


class Noise:
    """Images of noise, ten classes."""

    splits = ("test",)

    def __init__(self, images: int = 2000) -> None:
        self.images = images

    def load(self, split):
        return NoiseSplit(self.images)


class NoiseSplit:
    def __init__(self, count: int) -> None:
        self.images = np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)
        self.targets = np.arange(count) % len(NAMES)
        self.ids = [str(i) for i in range(count)]
        self.class_names = NAMES

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return Sample(self.ids[index], self.images[index], int(self.targets[index]))


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "_local", {})
    registry.register("datasets", "noise", Noise)
    path = tmp_path / "small.json"
    path.write_text(json.dumps(CONFIG))
    yield path
    registry.refresh()


def our_run(config, store, images: int, templates: int) -> tuple[float, list, OpenClipModel]:
    """Processor time of five cells of the suite's own way, from a loaded model and imported modules."""
    methods = [
        {"plugin": "ensemble", "templates": s[:templates], "label": str(n)} for n, s in enumerate(SETS)
    ]
    model = {"plugin": "open_clip", "name": "small", "config": str(config)}
    given = {"name": "b", "protocol": "few-shot", "models": [model], "metrics": ["top1"], "methods": methods}
    plan = make_plan(suites.parse_suite({**given, "datasets": [{"plugin": "noise", "images": images}]}))
    worker = Worker(RunSettings(store=store, device="cpu", batch_size=64))
    loaded = worker._load_model(plan.cells[0].cell)
    worker.run(replace(plan.cells[0].cell, limit=8))
    worker.shared.belong("model", None)  # what the warming up encoded must be paid for again
    start = time.process_time()
    records = [worker.run(p.cell) for p in plan]
    spent = time.process_time() - start
    assert [r.reason for r in records if r.status != "ok"] == []
    return spent, records, loaded


def their_run(model, images: int) -> tuple[float, list[float]]:
    """Processor time and top-1 of the same with clip_benchmark's own functions."""
    theirs = pytest.importorskip("clip_benchmark.metrics.zeroshot_classification")

    class Prepared(torch.utils.data.Dataset):
        split = NoiseSplit(images)

        def __len__(self):
            return images

        def __getitem__(self, i):
            return model.prepare(Image.fromarray(self.split.images[i])), int(self.split.targets[i])

    accuracies = []
    start = time.process_time()
    for templates in SETS:
        loader = torch.utils.data.DataLoader(Prepared(), batch_size=64)
        written = [t.replace("{}", "{c}") for t in templates]
        classifier = theirs.zero_shot_classifier(
            model.clip, model.tokenizer, NAMES, written, "cpu", amp=False
        )
        logits, target = theirs.run_classification(model.clip, classifier, loader, "cpu", amp=False)
        accuracies.append(float((logits.argmax(dim=1) == target).float().mean()))
    return time.process_time() - start, accuracies


def test_five_prompt_sets_against_clip_benchmark(config, tmp_path, measuring, one_thread):
    images, templates = (2000, 80) if measuring else (40, 4)
    ours, records, model = our_run(config, tmp_path / "store", images, templates)
    again, repeated, _ = our_run(config, tmp_path / "another", images, templates)
    assert [r.metrics for r in repeated] == [r.metrics for r in records]
    if measuring:
        theirs, accuracies = their_run(model, images)
        print(f"\nfive prompt sets: {ours:.2f} s, clip_benchmark {theirs:.2f} s, ratio {ours / theirs:.3f}")
        print(f"with the embeddings on disk: {again:.2f} s")
        assert [r.metrics["top1"] for r in records] == pytest.approx(accuracies, abs=2e-3)
        assert ours <= theirs / 4
        assert again <= ours / 2


SHARDS = 4
"""As many as clip_benchmark has loading processes by default: with fewer it stops."""


def write_shards(folder, images: int) -> None:
    """The noise as clip_benchmark's layout wants it, and a folder for each prompt set that shares the shards."""
    split = NoiseSplit(images)
    (folder / "0" / "test").mkdir(parents=True)
    (folder / "0" / "test" / "nshards.txt").write_text(str(SHARDS))
    for shard, rows in enumerate(np.array_split(np.arange(images), SHARDS)):
        with tarfile.open(folder / "0" / "test" / f"{shard}.tar", "w") as tar:
            for i in rows:
                png = io.BytesIO()
                Image.fromarray(split.images[i]).save(png, "png")
                for ending, content in (("png", png.getvalue()), ("cls", str(split.targets[i]).encode())):
                    member = tarfile.TarInfo(f"s{i:05}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    for n in range(1, len(SETS)):
        (folder / str(n)).mkdir()
        (folder / str(n) / "test").symlink_to(folder / "0" / "test")
    for n, templates in enumerate(SETS):
        (folder / str(n) / "classnames.txt").write_text("\n".join(NAMES))
        written = "\n".join(t.replace("{}", "{c}") for t in templates)
        (folder / str(n) / "zeroshot_classification_templates.txt").write_text(written)


def spent(command: list[str], where) -> float:
    """Processor time of a process from its start to its end, with what it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-2000:]
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


WHOLE = """
name = "b"
protocol = "few-shot"
models = [{{ plugin = "open_clip", name = "small", config = "{folder}/small.json", checkpoint = "{folder}/small.pt" }}]
datasets = [{{ plugin = "webdataset", path = "{folder}/data/0" }}]
metrics = ["top1"]
methods = [{methods}]
"""
THEIRS = """
import open_clip, sys
open_clip.add_model_config("small.json")
from clip_benchmark.cli import main
from clip_benchmark.metrics import zeroshot_classification

def accuracy(output, target, topk=(1,)):
    found = output.topk(max(topk), 1, True, True)[1].t()
    correct = found.eq(target.view(1, -1).expand_as(found))
    return [float(correct[:k].reshape(-1).float().sum()) / len(target) for k in topk]

zeroshot_classification.accuracy = accuracy  # its own makes a scalar of an array, which NumPy 2.4 refuses
sys.argv[1:] = ["eval", "--dataset", "wds/noise", "--dataset_root", sys.argv[1], "--model", "small",
    "--pretrained", "small.pt", "--no_amp", "--quiet", "--output", sys.argv[2],
    "--task", "zeroshot_classification"]
main()
"""
"""clip_benchmark's own command and its defaults, told of an architecture that open_clip does not know."""


@pytest.mark.timeout(1800)  # six processes, each from nothing: minutes where others use the machine too
def test_whole_processes_against_clip_benchmark(config, tmp_path, measuring, monkeypatch):
    """One process of ours for five prompt sets, five of clip_benchmark's, from nothing to the written results."""
    images, templates = (2000, 80) if measuring else (20, 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_shards(tmp_path / "data", images)
    torch.manual_seed(0)
    torch.save(open_clip.CLIP(**CONFIG).state_dict(), tmp_path / "small.pt")
    methods = []
    for n, each in enumerate(SETS):
        (tmp_path / f"{n}.txt").write_text("\n".join(each[:templates]))
        methods.append(f'{{ plugin = "ensemble", templates = "{tmp_path}/{n}.txt", label = "{n}" }}')
    (tmp_path / "b.toml").write_text(WHOLE.format(folder=tmp_path, methods=", ".join(methods)))

    command = [
        sys.executable,
        "-m",
        "harness",
        "run",
        "b.toml",
        "--quiet",
        "--device",
        "cpu",
        "--store",
        "store",
    ]
    ours = spent(command, tmp_path)
    records = {r.coordinates["method"]: r for r in Store(tmp_path / "store").records()}
    assert [r.status for r in records.values()] == ["ok"] * len(SETS)
    if not measuring:
        return
    pytest.importorskip("clip_benchmark")
    theirs, apart = 0.0, 0.0
    for n in range(len(SETS)):
        theirs += spent([sys.executable, "-c", THEIRS, f"data/{n}", f"{n}.json"], tmp_path)
        accuracy = json.loads((tmp_path / f"{n}.json").read_text())["metrics"]["acc1"]
        assert records[str(n)].metrics["top1"] == pytest.approx(accuracy, abs=2e-3)
        apart = max(apart, abs(records[str(n)].metrics["top1"] - accuracy))
    print(f"\naccuracies differ by at most {apart:.1g}")
    print(f"whole processes: {ours:.1f} s, clip_benchmark {theirs:.1f} s, ratio {ours / theirs:.3f}")
    assert ours <= theirs / 5


def test_cut_texts_against_padded_ones(config, measuring, one_thread):
    model = OpenClipModel("small", config=config)
    model.load(torch.device("cpu"))
    texts = [t.replace("{}", n) for t in SETS[0][: 80 if measuring else 4] for n in NAMES]
    start = time.process_time()
    with torch.inference_mode():
        padded = torch.cat(
            [model.clip.encode_text(model.tokenizer(texts[i : i + 256])) for i in range(0, len(texts), 256)]
        )
    padding = time.process_time() - start
    start = time.process_time()
    cut = TextEmbeddings(model).encode(texts)
    cutting = time.process_time() - start
    assert torch.equal(cut, padded)
    if measuring:
        print(
            f"\n{len(texts)} texts: cut {cutting:.2f} s, padded {padding:.2f} s, {padding / cutting:.1f} times"
        )
        assert cutting < padding / 3


def plain_coop(clip, tokenizer, task, epochs: int) -> torch.Tensor:
    """CoOp as its paper writes it down, texts padded, nothing shared between steps but what it says."""
    tokens = tokenizer([f"X X X X {n}." for n in task.class_names])
    with torch.no_grad():
        embedded = clip.token_embedding(tokens)
    generator = torch.Generator().manual_seed(task.seed)
    context = torch.nn.Parameter(0.02 * torch.randn(4, embedded.shape[-1], generator=generator))
    recipe = coop_recipe(len(task.labels), epochs)
    optimiser = torch.optim.SGD([context], lr=0.002, momentum=0.9, weight_decay=5e-4)
    for p in clip.parameters():
        p.requires_grad_(False)
    for epoch in range(epochs):
        cosine = 0.001 * (1 + math.cos(math.pi * (epoch - 1) / epochs))
        optimiser.param_groups[0]["lr"] = cosine if epoch else 1e-5
        for rows in rows_of_epoch(len(task.labels), recipe, task.seed, epoch):
            v = context.expand(len(tokens), -1, -1)
            x = torch.cat([embedded[:, :1], v, embedded[:, 5:]], dim=1) + clip.positional_embedding
            x = clip.ln_final(clip.transformer(x, attn_mask=clip.attn_mask))
            w = x[torch.arange(len(x)), tokens.argmax(dim=1)] @ clip.text_projection
            logits = task.logit_scale * task.features[rows] @ F.normalize(w, dim=1).T
            loss = F.cross_entropy(logits, task.labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return context.detach()


def test_coop_against_a_plain_loop(measuring, one_thread):
    torch.manual_seed(0)
    clip = open_clip.CLIP(**CONFIG).eval()

    class Loaded:
        tokenizer = open_clip.SimpleTokenizer(context_length=77)

    Loaded.clip = clip
    features = F.normalize(torch.randn(160, 128, generator=torch.Generator().manual_seed(1)), dim=1)
    labels, none = torch.arange(10).repeat_interleave(16), features[:0]
    task = FewShotTask(
        NAMES, ["{}"], features, labels, none, labels[:0], TextEmbeddings(Loaded()), 20.0, 16, 0, lambda k: features
    )  # fmt: skip
    plain_coop(clip, Loaded.tokenizer, task, 1)  # both sides warm
    epochs = 8 if measuring else 2
    start = time.process_time()
    expected = plain_coop(clip, Loaded.tokenizer, task, epochs)
    plain = time.process_time() - start
    start = time.process_time()
    found = CoOp(4, epochs=epochs, words=0).fit(task).vectors
    ours = time.process_time() - start
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    if measuring:
        print(
            f"\nCoOp, {5 * epochs} steps: {ours:.2f} s, a plain loop {plain:.2f} s, ratio {ours / plain:.2f}"
        )
        assert ours <= plain
