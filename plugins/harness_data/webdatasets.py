"""The data set `webdataset`: tar files of images and labels in the layout of CLIP_benchmark."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError, EncodedImage, Sample
from harness_data.image_files import IMAGE_SUFFIXES
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness_data.remote_layout import RemoteLayout
    from harness_data.remote_shards import RemoteShard
    from harness_data.shards import ShardMember

CLASS_NAMES = "classnames.txt"
TEMPLATES = "zeroshot_classification_templates.txt"
KIND = "dataset_type.txt"
USUAL_IMAGES = ("jpg", "jpeg", "png", "webp")
IMAGE_EXTENSIONS = (*USUAL_IMAGES, *sorted({s[1:] for s in IMAGE_SUFFIXES} - {*USUAL_IMAGES}))
"""If a sample has several images, the first of these extensions counts; a remark reports the rest."""


class WebDatasetSplit:
    """A `Split` of samples read in place from tar files, without unpacking.

    Ids are `<shard number>/<key>`; a sample's `.txt` is its `text`.
    """

    def __init__(
        self,
        images: Sequence[ShardMember],
        labels: Sequence[int],
        texts: Sequence[ShardMember | None],
        ids: Sequence[str],
        class_names: Sequence[str] | None,
        templates: Sequence[str] | None,
        remarks: Sequence[str] = (),
    ) -> None:
        import numpy as np

        self.images = images
        self.texts = texts
        self.ids = ids
        self.targets = np.asarray(labels, dtype=np.int64)
        self.class_names = class_names
        self.templates = templates
        self.remarks = list(remarks)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        image, text = self.images[index], self.texts[index]
        return Sample(
            self.ids[index],
            EncodedImage(image.read(), image.place),
            int(self.targets[index]),
            None if text is None else text.read().decode("utf-8", errors="replace").strip(),
        )


class WebDataset:
    """`<path>/<split>/nshards.txt` and `<path>/<split>/<i>.tar`, with `<key>.jpg` (or png, webp, …) and
    `<key>.cls` (and `<key>.txt`) in the shards; `classnames.txt` and
    `zeroshot_classification_templates.txt` (placeholder `{c}`) beside the splits.

    This is the layout of CLIP_benchmark's exports. If `dataset_type.txt` says `retrieval`, samples have a
    text and no label.

    Args:
        path: the folder of the splits' folders, itself or below $HARNESS_DATA_ROOT; or its address (`https://…`,
            `s3://…`), or that of the shards of one split, `https://host/test/shard-{000000..000009}.tar`, which are
            read in place.
        label_space: the output space of supervised classifiers for these labels.
    """

    def __init__(self, path: Path, *, label_space: str | None = None) -> None:
        """Store the options."""
        from harness_data.shard_addresses import find_address

        address = find_address(path, "path")
        self.path = resolve_below_root(path) if address is None else path
        self._remote = None if address is None else _open_layout(address)
        self.where = address or str(self.path)
        self.label_space = label_space

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Path] | None:
        """Return the options for a folder of folders with shards, or None."""
        shards = path.is_dir() and any(path.glob("*/*.tar"))
        return {"path": path} if shards else None

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if self._remote is not None:
            return self._remote.explain_missing()
        if self.splits:
            return None
        if uncounted := next(iter(sorted(self.path.glob("*/*.tar"))), None):
            return (
                f"{self.path}: '{uncounted.parent.name}' holds shards but no nshards.txt: name them 0.tar, 1.tar, … "
                "and write their number to a file nshards.txt beside them"
            )
        what = "no <split>/nshards.txt in it" if self.path.is_dir() else "no such folder"
        return (
            f"{self.path}: {what}; get a data set in this layout (Hugging Face, clip-benchmark/wds_<name>) "
            "or export one with clip_benchmark_export_wds"
        )

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The folders that have an `nshards.txt`."""
        if self._remote is not None:
            return self._remote.splits
        return tuple(sorted(file.parent.name for file in self.path.glob("*/nshards.txt")))

    def fingerprint(self) -> str:
        """Return a digest of names, templates and shards; at an address, of what `remarks` says."""
        from harness import content_digest, content_digests
        from harness_data.digests import text_digest

        if self._remote is not None:
            return text_digest(_describe_remote(self._remote))
        beside = [self.path / name for name in (CLASS_NAMES, TEMPLATES, KIND)]
        parts: list[object] = [f"{file.name} {content_digest(file)}" for file in beside if file.is_file()]
        for split in self.splits:
            parts += [split, *content_digests(self._list_shards(split))]
        return text_digest(parts)

    def load(self, split: str) -> WebDatasetSplit:
        """Index the shards of one split.

        Raises DataError naming the shard that is missing or broken, or the sample that has no image, no
        label, or a label outside the class names.
        """
        import numpy as np

        from harness_data.file_names import escape_file_name
        from harness_data.leftovers import Leftovers, note_unused_labels
        from harness_data.scanning import check_split
        from harness_data.shards import index_shard

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, self.where)
        names = self._read_lines(CLASS_NAMES)
        images, labels, texts, ids = [], [], [], []
        left, used = Leftovers(), 0
        for number, shard in enumerate(self._list_indexed(split)):
            for key, members in index_shard(shard, left).items():
                where = f"{shard}: sample '{key}'"
                image = next((members[e] for e in IMAGE_EXTENSIONS if e in members), None)
                if image is None:
                    there = ", ".join(sorted(members))
                    raise DataError(f"{where}: no image ({', '.join(USUAL_IMAGES)}, …), only: {there}")
                images.append(image)
                read = (image, *(members.get(kind) for kind in ("cls", "txt")))
                for extension, member in members.items():
                    if member in read:
                        used += 1
                    else:
                        left.add(f".{extension}", f"{shard.name}:{escape_file_name(member.name)}")
                labels.append(-1 if self._is_retrieval else _parse_label(members, names, where))
                texts.append(members.get("txt"))
                ids.append(f"{number}/{escape_file_name(key)}")
        if not ids:
            raise DataError(f"{self.where}, split '{split}': its shards hold no samples")
        said = left.remarks(used)
        if not self._is_retrieval:
            said += note_unused_labels(np.asarray(labels), len(names) if names else max(labels) + 1, names)
        return WebDatasetSplit(images, labels, texts, ids, names, self._templates, said)

    @property
    def remarks(self) -> list[str]:
        """Remarks on shards beyond the number in `nshards.txt`, folders without that file, and equal shards.

        At an address, a remark on what the shards are known by.
        """
        from harness_data.leftovers import Leftovers

        if self._remote is not None:
            return self._remote.remarks
        left, used = Leftovers(), 0
        for file in sorted(self.path.glob("*/*.tar*")):
            folder = file.parent.name
            if folder not in self.splits:
                left.add(f"in '{folder}', which has no nshards.txt", f"{folder}/{file.name}")
            elif file in self._list_shards(folder):
                used += 1
            else:
                left.add(f"beyond what {folder}/nshards.txt says", f"{folder}/{file.name}")
        return [
            text.replace(" files ", " shards ", 1) for text in left.remarks(used)
        ] + self._note_equal_shards()

    def _note_equal_shards(self) -> list[str]:
        """Return a remark on the first two equal shards of a split, whose samples count twice."""
        from harness import content_digests

        said = []
        for split in self.splits:
            shards, first = self._list_shards(split), dict[str, str]()
            sizes = [shard.stat().st_size for shard in shards]
            alike = [shard for shard, size in zip(shards, sizes, strict=True) if sizes.count(size) > 1]
            for shard, digest in zip(alike, content_digests(alike), strict=True):
                if first.setdefault(digest, shard.name) != shard.name:
                    said.append(
                        f"{split}/{first[digest]} and {split}/{shard.name} hold the same: these samples count twice"
                    )
        return said[:1]

    @property
    def _is_retrieval(self) -> bool:
        return (self._read_lines(KIND) or [""])[0].lower() == "retrieval"

    @property
    def _templates(self) -> list[str] | None:
        from harness.inference.zeroshot import check_templates
        from harness_data.class_names import read_templates

        if self._remote is not None:
            lines = self._remote.read_lines(TEMPLATES)
            return None if lines is None else check_templates(lines, f"{self.where}: {TEMPLATES}", DataError)
        file = self.path / TEMPLATES
        return read_templates(file) if file.is_file() else None

    def _read_lines(self, name: str) -> list[str] | None:
        from harness_data.class_names import read_lines

        if self._remote is not None:
            return self._remote.read_lines(name)
        file = self.path / name
        return read_lines(file) if file.is_file() else None

    def _list_indexed(self, split: str) -> Sequence[Path | RemoteShard]:
        """Return the shards of a split; those at an address with their indices made, several at once."""
        return self._list_shards(split) if self._remote is None else self._remote.list_indexed(split)

    def _list_shards(self, split: str) -> list[Path]:
        from harness_data.class_names import read_lines

        counted = self.path / split / "nshards.txt"
        text = " ".join(read_lines(counted) or [])
        if not text.isdecimal():
            raise DataError(f"{counted}: expected the number of shards, found '{text}'")
        shards = [self.path / split / f"{i}.tar" for i in range(int(text))]
        for shard in shards:
            if not shard.is_file():
                there = ", ".join(sorted(file.name for file in counted.parent.glob("*.tar*"))[:3]) or "none"
                raise DataError(
                    f"{shard}: missing, though {counted.name} says there are {text} shards (there: {there}, …)"
                )
        return shards


def _parse_label(members: dict[str, ShardMember], names: Sequence[str] | None, where: str) -> int:
    if "cls" not in members:
        hint = "; labels in .npy (several per image) are not read" if "npy" in members else ""
        raise DataError(f"{where}: no label (.cls){hint}")
    text = members["cls"].read().decode("utf-8-sig", errors="replace").strip()
    if not text.isdecimal():
        raise DataError(f"{where}: its label must be a class index, found '{text}'")
    label = int(text)
    if names is not None and label >= len(names):
        raise DataError(f"{where}: label {label} is outside the {len(names)} names of {CLASS_NAMES}")
    return label


def _open_layout(address: str) -> RemoteLayout:
    from harness_data.remote_layout import RemoteLayout

    return RemoteLayout(address)


def _describe_remote(remote: RemoteLayout) -> Iterator[object]:
    """Yield what data at an address are known by: texts, and of each shard its tag, its size and its index."""
    for name in (CLASS_NAMES, TEMPLATES, KIND):
        yield f"{name} {remote.read_text(name)!r}"
    for split in remote.splits:
        yield split
        for shard in remote.list_indexed(split):
            yield shard.identity
            for member in shard.list_members():
                yield f"{member.name} {member.offset} {member.size}"
