"""The contract between the core and plugins: what a model, a data set, a metric, a protocol must offer.

The contracts of summaries, plots and executors are in `leaderboard/`, `plotting/` and `executors/contract.py`.

A plugin is a class (or a factory whose return annotation is that class) with typed keyword arguments,
found through an entry point. Two rules keep planning fast:

* Importing the plugin's module and calling its constructor must be cheap: no torch, no disk scan
  beyond what the answer needs. Heavy imports and heavy work go into `load`.
* A plugin's methods declare what it can do: a capability is a runtime-checkable typing protocol, one of
  those below or of any package (`harness.contract.capability`).

`harness.contract.declared` lists everything else that the core asks, with defaults. On every plugin:
`fingerprint` goes into the cell's id (`content_digest` and `content_digests` identify files by content,
and read them again only after a change); `remarks`, which splits and loaded models may have too, go into
the record and become footnotes of every table that shows its numbers; `smallest` holds options for
`harness check` and the conformance kit (a protocol's also has `cell`, the content of a suite in which it
runs for a second or two, by which the kit finds the protocol that takes a method).
"""

from harness.contract import models as models  # registers the core's capabilities
