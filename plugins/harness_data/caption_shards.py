"""The data set `caption-shards`: images and captions in tar files, in the layout of CLIP_benchmark's retrieval sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError, EncodedImage
from harness_data.webdatasets import IMAGE_EXTENSIONS, KIND, WebDataset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness_data.question_split import QuestionSplit
    from harness_data.shards import ShardMember


@dataclass(frozen=True)
class ShardImage:
    """An image in a shard."""

    member: ShardMember

    def read(self) -> EncodedImage:
        """Return its bytes. Raises DataError naming shard and member if they can't be read."""
        return EncodedImage(self.member.read(), self.member.place)


@dataclass(frozen=True)
class _ShardSample:
    id: str
    image: ShardMember
    text: ShardMember


class CaptionShards(WebDataset):
    """Images and captions from `<path>/<split>/nshards.txt` and `<path>/<split>/<i>.tar`, with `<key>.jpg` (or png,
    webp, …) and `<key>.txt`, a caption in each line.

    Samples without an image or without captions are left out, with a remark. Ids and `groups` are
    `<shard number>/<key>`.

    Args:
        path: the folder of the splits, itself or below $HARNESS_DATA_ROOT; or an address, as for `webdataset`.
        encoding: of texts that are not UTF-8; by default guessed from the texts of the split.
    """

    target_kind = "captions"

    def __init__(self, path: Path, *, encoding: str | None = None) -> None:
        """Store the options."""
        from harness_data.text_encoding import check_encoding

        super().__init__(path)
        self.encoding = check_encoding(encoding, "caption-shards")

    @classmethod
    def recognise(cls, path: Path) -> None:
        """Return None: the same files are the images and labels of `webdataset`, and captions are asked for by name."""

    def fingerprint(self) -> str:
        """Return a digest of the shards, and of the rule for decoding texts."""
        from harness_data.digests import text_digest
        from harness_data.text_encoding import RULE

        return text_digest([RULE, super().fingerprint()])

    def load(self, split: str) -> QuestionSplit:  # type: ignore[override]
        """Index the shards of one split and read its texts; images are read on access.

        Raises DataError naming the shard that is missing or broken, or if no sample has an image and a caption.
        """
        from harness_data.caption_items import note_captions
        from harness_data.question_split import QuestionRecord, QuestionSplit
        from harness_data.scanning import check_split
        from harness_data.text_encoding import decode_texts, summarise_encodings

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, self.where)
        samples, remarks = self._list_captioned(split)
        decoded = decode_texts([sample.text.read() for sample in samples], self.encoding)
        records, empty, bare = [], 0, list[str]()
        for sample, text in zip(samples, decoded, strict=True):
            lines = [line.strip() for line in text.text.replace("\0", "").rstrip().split("\n")]
            captions = tuple(line for line in lines if line)
            empty += len(lines) - len(captions) if captions else 0
            if not captions:
                bare.append(sample.id)
                continue
            records.append(
                QuestionRecord(
                    sample.id, None, (ShardImage(sample.image),), captions, sample.id, sample.text.place
                )
            )
        if bare:
            remarks.append(
                f"{len(bare)} of {len(samples)} texts are empty, and their samples left out (first: {bare[0]})"
            )
        if empty:
            remarks.append(f"{empty} lines of texts are empty, and no captions")
        if said := summarise_encodings([text.encoding for text in decoded]):
            remarks.append(said)
        if not self._is_retrieval:
            remarks.append(f"{KIND} does not say 'retrieval': the texts of the samples are taken as captions")
        remarks += note_captions(
            [record.target for record in records if isinstance(record.target, tuple)], "image"
        )
        return QuestionSplit(records, f"{self.where}, split '{split}'", remarks)

    def _list_captioned(self, split: str) -> tuple[Sequence[_ShardSample], list[str]]:
        """Return the samples that have an image and a text, and remarks on the others and on unused files."""
        from harness_data.file_names import escape_file_name
        from harness_data.leftovers import Leftovers
        from harness_data.shards import index_shard

        found, left, total = [], Leftovers(), 0
        without: dict[str, list[str]] = {"image": [], "text (.txt)": []}
        for number, shard in enumerate(self._list_indexed(split)):
            for key, members in index_shard(shard, left).items():
                identity, total = f"{number}/{escape_file_name(key)}", total + 1
                image = next((members[e] for e in IMAGE_EXTENSIONS if e in members), None)
                text = members.get("txt")
                if image is not None and text is not None:
                    found.append(_ShardSample(identity, image, text))
                else:
                    without["image" if image is None else "text (.txt)"].append(identity)
                for extension, member in members.items():
                    if member not in (image, text):
                        left.add(f".{extension}", f"{shard.name}:{escape_file_name(member.name)}")
        said = [
            f"{len(ids)} of {total} samples have no {what} and are left out (first: {ids[0]})"
            for what, ids in without.items()
            if ids
        ]
        if not found:
            why = f" ({'; '.join(said)})" if said else ""
            raise DataError(f"{self.where}, split '{split}': no sample has an image and a text{why}")
        return found, [*said, *left.remarks(2 * len(found))]
