"""Listeners, summaries, plots, executors and importers: sound ones, and the same with one fault each, for the kit to find."""

from __future__ import annotations

from typing import Any

from harness import hookimpl


class Quiet:
    """A sound listener."""

    @hookimpl
    def cell_finished(self, cell: Any, record: Any) -> None:
        self.last = record.status


class UnknownEvent(Quiet):
    """Listens to an event that there is not."""

    @hookimpl
    def cell_ended(self, cell: Any) -> None:
        pass


class UnknownArgument:
    """Asks for an argument that its event has not."""

    @hookimpl
    def cell_finished(self, cell: Any, result: Any) -> None:
        pass


class Unmarked:
    """Forgot to mark its method."""

    def cell_finished(self, cell: Any, record: Any) -> None:
        pass


class ExpectsMetrics:
    """Takes for granted that every record has a metric."""

    @hookimpl
    def cell_finished(self, record: Any) -> None:
        self.best = record.metrics["top1"]


class Best:
    """A sound summary: the largest top-1 of each method."""

    def __call__(self, records: Any) -> Any:
        import pandas as pd

        rows = [("", m, "best top1", float(g["top1"].max())) for m, g in records.groupby("method")]
        return pd.DataFrame(rows, columns=["model", "method", "metric", "value"])


class WithoutNumbers(Best):
    """A sound summary that has a row for each model, and no number yet."""

    def __call__(self, records: Any) -> Any:
        import pandas as pd

        made = super().__call__(records)
        return made.assign(value=pd.Series([None] * len(made), dtype=object))


class NoValueColumn(Best):
    """Calls its numbers something else."""

    def __call__(self, records: Any) -> Any:
        return super().__call__(records).rename(columns={"value": "number"})


class StrangeUnit(Best):
    """Has a unit of its own making."""

    def __call__(self, records: Any) -> Any:
        return super().__call__(records).assign(unit="percent")


class FailsOnNothing(Best):
    """Takes the first record for granted."""

    def __call__(self, records: Any) -> Any:
        records.iloc[0]
        return super().__call__(records)


class ChangesRecords(Best):
    """Writes into the frame that it is given."""

    def __call__(self, records: Any) -> Any:
        records["top1"] = records["top1"] * 100
        return super().__call__(records)


class FirstRecord(Best):
    """Takes the first record of each method for its best."""

    def __call__(self, records: Any) -> Any:
        import pandas as pd

        rows = [("", m, "first", float(g["top1"].iloc[0])) for m, g in records.groupby("method")]
        return pd.DataFrame(rows, columns=["model", "method", "metric", "value"])


class Dots:
    """A sound plot."""

    def draw(self, data: Any, store: Any, figure: Any) -> str | None:
        figure.add_subplot().plot(list(data["top1"]) if len(data) else [], "o")
        return "Dots."


class DrawsNothing(Dots):
    """Leaves the figure empty."""

    def draw(self, data: Any, store: Any, figure: Any) -> str | None:
        return None


class OpensFigures(Dots):
    """Draws on a figure of its own as well."""

    def draw(self, data: Any, store: Any, figure: Any) -> str | None:
        import matplotlib.pyplot

        matplotlib.pyplot.figure()
        return super().draw(data, store, figure)


class OneByOne:
    """A sound executor: what the core's own does."""

    def execute(self, cells: Any, settings: Any, tell: Any) -> Any:
        from harness.running.executors.inline import Inline

        yield from Inline().execute(cells, settings, tell)


class LosesCells(OneByOne):
    """Leaves out the last cell."""

    def execute(self, cells: Any, settings: Any, tell: Any) -> Any:
        yield from super().execute(cells[:-1], settings, tell)


class TellsNobody(OneByOne):
    """Tells no events."""

    def execute(self, cells: Any, settings: Any, tell: Any) -> Any:
        yield from super().execute(cells, settings, lambda event, **facts: None)


class SwapsRecords(OneByOne):
    """Gives cells each other's records."""

    def execute(self, cells: Any, settings: Any, tell: Any) -> Any:
        done = list(super().execute(cells, settings, tell))
        yield from ((cell, record) for (cell, _), (_, record) in zip(done, done[::-1], strict=True))


class Scores:
    """A sound importer: a JSON object of models and their scores."""

    suffix = ".json"
    example = '{"net": 0.5}'

    def read(self, file: Any) -> Any:
        import json

        from harness import DataError

        try:
            return [self.result(model, score) for model, score in json.loads(file.read_bytes()).items()]
        except ValueError as error:
            raise DataError(f"{file}: not valid JSON: {error}") from None

    def result(self, model: str, score: float, **more: Any) -> Any:
        from harness import ImportedPart, ImportedResult

        parts = [ImportedPart(name, name) for name in ("task", model, "data")]
        return ImportedResult(*parts, **{"metrics": {"top1": score}, "directions": {"top1": True}} | more)


class KnowsNotItsOwn(Scores):
    """Recognises no file, its own neither."""

    def recognise(self, file: Any) -> bool:
        return False


class KnowsAll(Scores):
    """Takes every file for its own."""

    def recognise(self, file: Any) -> bool:
        return True


class NoDirections(Scores):
    """Does not say which values are better."""

    def result(self, model: str, score: float, **more: Any) -> Any:
        return super().result(model, score, directions={})


class NewSeeds(Scores):
    """Takes the time for a seed."""

    def result(self, model: str, score: float, **more: Any) -> Any:
        import time

        return super().result(model, score, seed=time.monotonic_ns())


class Crashes(Scores):
    """Lets its parser's errors through."""

    def read(self, file: Any) -> Any:
        import json

        return [self.result(model, score) for model, score in json.loads(file.read_bytes()).items()]


class NamesNoFile(Scores):
    """Does not say which file is wrong."""

    def read(self, file: Any) -> Any:
        from harness import DataError

        try:
            return super().read(file)
        except DataError:
            raise DataError("a file is not valid JSON") from None
