"""Learned contexts and adapters: their identities, gradients, schedules and sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from harness.errors import DataError, Diverged, OptionError
from harness.inference.features import digest_module
from harness_prompts.context_vectors import ContextVectors, PromptLayout
from harness_prompts.methods import cocoop
from harness_prompts.methods.clip_adapter import ClipAdapter
from harness_prompts.methods.cocoop import CoCoOp, ConditionalClassifier, build_meta_net
from harness_prompts.methods.coop import CoOp, KgCoOp, ProGrad, align_gradient
from harness_prompts.methods.linear_probe import LinearProbe
from harness_prompts.methods.tip_adapter import (
    TipAdapter,
    TipAdapterF,
    tip_logits,
)
from harness_prompts.methods.zero_shot import ZeroShotTemplate, zero_shot_weights
from harness_prompts.shot_training import coop_epochs, coop_recipe, embedding_source, train_on_shots


def logits(task, method, class_names=None):
    return method.fit(task).logits(task.features, class_names or task.class_names)


@pytest.mark.parametrize(
    ("position", "template"),
    [("end", "a photo of a {}."), ("middle", "a photo {} of a."), ("front", "{} a photo of a.")],
)
@pytest.mark.parametrize("class_specific", [False, True])
def test_coop_without_steps_is_its_initial_wording(task, position, template, class_specific):
    method = CoOp(init="a photo of a", position=position, epochs=0, class_specific=class_specific)
    torch.testing.assert_close(
        logits(task, method), logits(task, ZeroShotTemplate(template)), atol=1e-4, rtol=0
    )


def test_a_learned_context_reads_class_names_as_a_template_does(kit, model):
    """Names come as the data set or a file says them: no method may read them in a way of its own."""
    task = kit.make_task(model, names=["fire_truck", "cat", "a_b_c", "U.S. flag"])
    expected = logits(task, ZeroShotTemplate("a photo of a {}."))
    for method in (CoOp(init="a photo of a", epochs=0), KgCoOp(epochs=0)):
        torch.testing.assert_close(logits(task, method), expected, atol=1e-4, rtol=0)


def test_coop_at_hardly_any_rate_is_its_initial_wording(task, monkeypatch):
    monkeypatch.setattr("harness_prompts.shot_training.WARM_UP_RATE", 0.0)
    method = CoOp(init="a photo of a", epochs=3, rate=1e-12)
    torch.testing.assert_close(
        logits(task, method), logits(task, ZeroShotTemplate("a photo of a {}.")), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("method", [
    CoOp(4, epochs=4, batch=8), CoOp(4, epochs=4, class_specific=True), CoCoOp(epochs=2, batch=4),
    KgCoOp(epochs=3), ProGrad(epochs=3, length=4),
], ids=["CoOp", "CoOp per class", "CoCoOp", "KgCoOp", "ProGrad"])  # fmt: skip
def test_the_encoders_stay_as_they_are_and_the_loss_falls(task, model, method):
    before = digest_module(model.clip)
    grads = {n: p.requires_grad for n, p in model.clip.named_parameters()}
    method.rate = 0.05
    method.fit(task)
    assert digest_module(model.clip) == before
    assert all(p.grad is None for p in model.clip.parameters())
    assert {n: p.requires_grad for n, p in model.clip.named_parameters()} == grads
    losses = task.curves["training"]["loss"]
    assert losses[-1] < losses[0]


def test_learning_raises_the_likelihood_of_the_shots(task):
    start = logits(task, CoOp(4, epochs=0))
    learned = logits(task, CoOp(4, epochs=40, rate=0.05))
    assert F.cross_entropy(learned, task.labels) < 0.8 * F.cross_entropy(start, task.labels)
    assert len(task.notes["nearest_words"]) == 4


def test_the_same_seed_learns_the_same(task, kit, model):
    a = CoOp(4, epochs=5).fit(task).vectors
    b = CoOp(4, epochs=5).fit(kit.make_task(model)).vectors
    c = CoOp(4, epochs=5).fit(kit.make_task(model, seed=1)).vectors
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_the_rates_are_the_closed_form_and_those_of_torchs_own_schedule(task):
    CoOp(4, epochs=10).fit(task)
    trace = task.curves["training"]["rate"]
    assert trace[0] == 1e-5
    for epoch in range(1, 10):
        assert trace[epoch] == pytest.approx(0.001 * (1 + math.cos(math.pi * (epoch - 1) / 10)), rel=1e-12)
    assert trace[-1] == pytest.approx(1.91e-4, abs=1e-6)
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.002)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 10)
    for epoch in range(1, 10):
        assert optimiser.param_groups[0]["lr"] == pytest.approx(trace[epoch], rel=1e-9)
        optimiser.step()
        cosine.step()
    assert [coop_epochs(k) for k in (1, 2, 4, 8, 16)] == [50, 100, 100, 200, 200]
    assert {coop_epochs(k, "imagenet-1k") for k in (1, 2, 4, 8, 16)} == {50}


def test_a_step_is_sgd_with_momentum_and_weight_decay(task):
    """Three epochs of one batch against the update written out."""
    tower = task.texts.tower
    context = ContextVectors(tower, 4, seed=task.seed)
    layout = PromptLayout(tower, task.class_names, 4)
    v, momentum = context.vectors.detach().clone(), torch.zeros(4, 32)
    for rate in (1e-5, 0.1, 0.05 * (1 + math.cos(math.pi / 3))):
        v.requires_grad_(True)
        loss = F.cross_entropy(20 * task.features @ layout.encode(v).T, task.labels)
        (g,) = torch.autograd.grad(loss, v)
        v = v.detach()
        momentum = 0.9 * momentum + g + 5e-4 * v
        v = v - rate * momentum
    found = CoOp(4, epochs=3, rate=0.1, batch=100).fit(task).vectors
    torch.testing.assert_close(found, v, atol=1e-5, rtol=0)


def test_a_loss_that_is_not_finite_is_a_divergence(task):
    weight, recipe = torch.nn.Parameter(torch.ones(1)), coop_recipe(len(task.labels), 2)
    with pytest.raises(Diverged, match="step 1 of 2"):
        train_on_shots(
            task, [weight], embedding_source(task, False), lambda *_: weight.sum() * float("nan"), recipe
        )


def test_a_context_per_class_knows_its_own_classes_only(task):
    fitted = CoOp(4, epochs=0, class_specific=True).fit(task)
    whole = fitted.logits(task.features, task.class_names)
    part = fitted.logits(task.features, task.class_names[1:3])
    torch.testing.assert_close(part, whole[:, 1:3], atol=1e-4, rtol=0)
    with pytest.raises(OptionError, match="without 'dog'"):
        fitted.logits(task.features, ["dog"])
    assert not CoOp(class_specific=True).transfers


def conditional(task, zero=False):
    tower = task.texts.tower
    vectors = ContextVectors(tower, init="a photo of a").vectors
    shift = build_meta_net(16, tower.width, seed=3)
    with torch.no_grad():
        if zero:
            shift[2].weight.zero_()
            shift[2].bias.zero_()
        else:
            shift[2].weight.mul_(20)
    return ConditionalClassifier(tower, vectors, shift, "end", 20.0)


def test_cocoop_with_a_silent_meta_net_is_coop(task):
    found = conditional(task, zero=True).logits(task.features, task.class_names)
    expected = logits(task, CoOp(init="a photo of a", epochs=0))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_cocoop_images_do_not_touch_each_other_and_classes_permute(task, monkeypatch):
    classifier = conditional(task)
    whole = classifier.logits(task.features, task.class_names)
    singles = torch.cat([classifier.logits(f[None], task.class_names) for f in task.features])
    torch.testing.assert_close(whole, singles, atol=1e-4, rtol=0)
    order = [2, 0, 3, 1]
    permuted = classifier.logits(task.features, [task.class_names[i] for i in order])
    torch.testing.assert_close(permuted, whole[:, order], atol=1e-4, rtol=0)
    plain = conditional(task, zero=True).logits(task.features, task.class_names)
    assert (plain - whole).abs().max() > 1e-2  # the image does shift the context
    monkeypatch.setattr(cocoop, "POSITIONS_AT_ONCE", 100)
    assert cocoop.images_per_chunk(PromptLayout(classifier.tower, task.class_names, 4)) < 4
    torch.testing.assert_close(classifier.logits(task.features, task.class_names), whole, atol=1e-4, rtol=0)


def test_cocoop_learns_the_same_in_chunks(task, kit, model, monkeypatch):
    whole = CoCoOp(epochs=2, batch=8, rate=0.02).fit(task).vectors
    monkeypatch.setattr(cocoop, "POSITIONS_AT_ONCE", 100)
    chunked = CoCoOp(epochs=2, batch=8, rate=0.02).fit(kit.make_task(model)).vectors
    torch.testing.assert_close(whole, chunked, atol=1e-5, rtol=0)


def test_cocoop_halves_its_chunks_when_memory_ends(task, kit, model, monkeypatch):
    """A try that failed behind its first chunk leaves nothing of that chunk's gradient."""
    whole = CoCoOp(epochs=1, batch=8, rate=0.02).fit(task)
    expected = whole.logits(task.features, task.class_names)
    given, sizes = cocoop.conditional_logits, []

    def short_of_memory(features, *others):
        sizes.append(len(features))
        if len(features) > 4 or (len(features) == 4 and sizes[-2:] == [4, 4]):
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return given(features, *others)

    monkeypatch.setattr(cocoop, "conditional_logits", short_of_memory)
    halved = CoCoOp(epochs=1, batch=8, rate=0.02).fit(kit.make_task(model))
    torch.testing.assert_close(halved.vectors, whole.vectors, atol=1e-5, rtol=0)
    assert sizes[:4] == [8, 4, 4, 2]
    found = halved.logits(task.features, task.class_names)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_published_parameter_counts():
    assert sum(p.numel() for p in build_meta_net(512, 512).parameters()) == 33_312

    class B16:
        width, device = 512, torch.device("cpu")

    assert ContextVectors(B16(), 4).vectors.numel() == 2_048
    assert ContextVectors(B16(), 16).vectors.numel() == 8_192


def test_kgcoop_without_weight_is_coop_and_with_much_stays_near(task, kit, model):
    plain = CoOp(4, "a photo of a", epochs=5, batch=128, rate=0.1).fit(kit.make_task(model))
    none = KgCoOp(0.0, epochs=5, rate=0.1).fit(kit.make_task(model))
    much = KgCoOp(1000.0, ["a photo of a {}."], epochs=5, rate=0.1).fit(kit.make_task(model))
    torch.testing.assert_close(plain.vectors, none.vectors, atol=1e-6, rtol=0)
    anchor = zero_shot_weights(task, ["a photo of a {}."])

    def cosine(classifier):
        layout = PromptLayout(task.texts.tower, task.class_names, 4)
        with torch.no_grad():
            return float((layout.encode(classifier.vectors) * anchor).sum(dim=1).mean())

    assert cosine(much) > cosine(none)


def test_prograds_gradient_never_works_against_what_is_known():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        g, known = torch.randn(2, 4, 8, generator=generator)
        if (g * known).sum() > 0:
            assert torch.equal(align_gradient(g, known), g)
        else:
            assert abs(float((align_gradient(g, known) * known).sum())) < 1e-4
            half = align_gradient(g, known, 0.5)
            assert float((half * known).sum()) == pytest.approx(0.5 * float((g * known).sum()), rel=1e-4)
    assert torch.equal(align_gradient(g, torch.zeros_like(g)), g)


def test_prograd_of_strength_zero_is_coop(kit, model):
    plain = CoOp(4, epochs=4, rate=0.1).fit(kit.make_task(model))
    free = ProGrad(0.0, length=4, epochs=4, rate=0.1).fit(kit.make_task(model))
    torch.testing.assert_close(plain.vectors, free.vectors, atol=1e-6, rtol=0)


def test_tip_adapters_formula(task):
    w = zero_shot_weights(task, "data")
    values = F.one_hot(task.labels, 4).float()
    zero = 20 * task.features @ w.T
    close = {"atol": 1e-4, "rtol": 0}
    torch.testing.assert_close(
        tip_logits(task.features, task.features, values, w, 20, 0.0, 5.5), zero, **close
    )
    sharp = tip_logits(task.features, task.features, values, w, 20, 1.0, 1e4) - zero
    torch.testing.assert_close(sharp, values, atol=5e-3, rtol=0)  # only each shot's own key is left
    order = torch.randperm(len(task.labels))
    torch.testing.assert_close(
        tip_logits(task.features, task.features[order], values[order], w, 20, 2.0, 5.5),
        tip_logits(task.features, task.features, values, w, 20, 2.0, 5.5), **close,
    )  # fmt: skip


@pytest.mark.parametrize(
    "method",
    [TipAdapter(), TipAdapterF(epochs=5, rate=0.01), LinearProbe(), ClipAdapter(epochs=30, rate=0.05)],
)
def test_adapters_fit_their_shots(task, method):
    found = logits(task, method)
    baseline = logits(task, ZeroShotTemplate())
    assert F.cross_entropy(found, task.labels) < F.cross_entropy(baseline, task.labels)
    part = method.fit(task).logits(task.features, task.class_names[:2])
    torch.testing.assert_close(part, found[:, :2], atol=1e-3, rtol=1e-4)
    if not method.transfers:
        assert task.notes["selected_on"] == "validation shots"
        with pytest.raises(OptionError, match="can't name new ones"):
            method.fit(task).logits(task.features, ["dog"])


@pytest.mark.parametrize("method", [TipAdapter(), TipAdapterF(epochs=2), ClipAdapter(epochs=2, rate=0.05)])
def test_heads_are_the_classifiers_and_come_back_from_their_tensors(task, method):
    """The module that other protocols store answers as the classifier does; so does its copy."""
    classifier = method.fit(task)
    head = classifier.head()
    found = classifier.logits(task.features, task.class_names)
    torch.testing.assert_close(head(task.features), found, atol=1e-4, rtol=1e-5)
    again = method.rebuild({n: t.clone() for n, t in head.state_dict().items()})
    assert torch.equal(again(task.features), head(task.features))
    counted = sum(p.numel() for p in head.parameters() if p.requires_grad)
    assert counted == task.cost.get("trainable_parameters", 0)


def test_tip_adapter_f_before_its_first_step_is_tip_adapter(task):
    before, trained = (logits(task, TipAdapterF(epochs=n, rate=0.01)) for n in (0, 3))
    assert torch.equal(before, logits(task, TipAdapter()))
    assert not torch.allclose(before, trained)


def test_the_prompts_that_an_adapter_compares_with_name_the_classes(task):
    """The name of a set of templates is none itself: its letters would be the same prompts for all classes."""
    for templates in ("data", "imagenet-7", ["a {} here"]):
        found = ClipAdapter(templates=templates, epochs=1).fit(task).templates
        assert found
        assert all("{}" in template for template in found)


def test_clip_adapter_of_ratio_zero_is_zero_shot(task):
    found = logits(task, ClipAdapter(["a photo of a {}."], ratio=0.0, epochs=2))
    torch.testing.assert_close(found, logits(task, ZeroShotTemplate("a photo of a {}.")), atol=1e-4, rtol=0)


def test_the_linear_probe_is_scikit_learns(task):
    from sklearn.linear_model import LogisticRegression

    found = LinearProbe([1.0]).fit(task).logits(task.features, task.class_names)
    theirs = LogisticRegression(C=1.0, max_iter=1000).fit(task.features.numpy(), task.labels.numpy())
    np.testing.assert_allclose(
        found.softmax(dim=1).numpy(), theirs.predict_proba(task.features.numpy()), atol=1e-4
    )


def test_one_shot_of_many_classes_warns_of_nothing_and_a_single_class_is_no_task(task, recwarn):
    many = 30
    task.features, task.labels = F.normalize(torch.randn(many, 16), dim=-1), torch.arange(many)
    task.class_names, task.val_labels = [f"class {i}" for i in range(many)], task.val_labels[:0]
    LinearProbe().fit(task)
    assert [str(w.message) for w in recwarn] == []
    task.labels = torch.zeros(many, dtype=torch.long)
    with pytest.raises(DataError, match="two classes or more"):
        LinearProbe().fit(task)
    for wrong in (lambda: LinearProbe([0.0]), lambda: TipAdapter(batch=0)):
        with pytest.raises(OptionError):
            wrong()


def test_a_class_without_a_shot_is_never_predicted_by_the_probe(task):
    keep = task.labels != 2
    task.features, task.labels = task.features[keep], task.labels[keep]
    task.val_features, task.val_labels = task.val_features[:0], task.val_labels[:0]
    found = logits(task, LinearProbe())
    assert set(found.argmax(dim=1).tolist()) <= {0, 1, 3}
    two = task.labels < 2
    task.features, task.labels = task.features[two], task.labels[two]
    assert set(logits(task, LinearProbe()).argmax(dim=1).tolist()) <= {0, 1}
