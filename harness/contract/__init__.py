"""The contract between the core and plugins: what a model, a data set, a metric, a protocol must offer.

Summaries, plots and executors have theirs in `leaderboard/`, `plots/` and `executors/contract.py`.

A plugin is a class (or a factory whose return annotation is that class) with typed keyword
arguments, found through an entry point. Two rules keep planning fast:

* Importing the plugin's module and calling its constructor must be cheap: no torch, no disk scan
  beyond what the answer needs. Heavy imports and heavy work go into `load`.
* What a plugin can do is told by the methods it has: a capability is a runtime-checkable typing
  protocol, one of those below or of any package (`harness.contract.capability`).

`harness.contract.declared` lists everything else that the core asks, with the default where it is absent.
On every plugin: `fingerprint` goes into the cell's id (files are known by their content, which
`content_digest` and `content_digests` read once and then only where a file has been touched);
`remarks`, which splits and loaded models may have too, go into the record and stand as footnotes below
every table that shows its numbers; `smallest` options are for `harness check` and the conformance kit
(a protocol's also has `cell`, the content of a suite in which it runs for a second or two, by which
the kit finds the protocol that takes a method).
"""

from harness.contract import models as models  # registers the core's capabilities
