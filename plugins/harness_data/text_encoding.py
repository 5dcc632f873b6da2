"""Decides in which encoding the bytes of texts are, by a stated rule and from the whole collection, and decodes them.

A post is too short to tell: `…` in GB18030 is `¡­` in Windows-1252. A thousand of them are not, and the texts
of a collection were written by few programs. The rule:

1. a byte order mark says UTF-8 or UTF-16;
2. what is valid UTF-8 (and holds no zero byte) is UTF-8: other texts with high bytes almost never are;
3. the others are taken together. `encoding_evidence` gives the bits that each costs in each encoding, and from these
   follows how the collection is shared between encodings (the likeliest shares). Each text is read in the encoding
   in which its bits less the logarithm of that share are fewest: where a text says nothing the collection
   decides, where it says much (it does not decode, or to nonsense) it is read by itself. A text alone is a
   collection of one;
4. what does not decode in the encoding so found becomes U+FFFD, and the text counts as damaged.

An encoding that is given overrules 3.

Measured on translated messages of a Linux distribution (8 to 140 characters; what is valid UTF-8 by chance left out) and on
English ones with curly marks, emoji or a foreign word, 2,000 to a collection: none is read wrongly of the English ones in
GB18030 and in Windows-1252, of eleven Western languages in Windows-1252, of simplified and traditional
Chinese in GB18030, of Korean, Polish, Slovak, Greek, Turkish and Ukrainian; 1 to 3 of Russian, Japanese (two encodings),
Czech, Slovene and Romanian, 9 of Big5. Left in Windows-1252 are 8 % of the Croatian and 25 % of the Hungarian
messages (Windows-1250). Collections of 50 do as well but for Big5 (1.5 %), Greek (0.5 %) and Romanian (38 %).
A message alone is read wrongly less often than once in forty, except in EUC-JP (9 %), Big5 (5 %), Greek (3 %), Windows-1250
and -1254 (mostly). Some bytes stand for two sensible texts: those of `通知` are valid UTF-8.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness import OptionError
from harness.errors import did_you_mean

UTF8, UTF16 = "utf-8", "utf-16"
LATIN, ISO_LATIN = "cp1252", "latin-1"
DAMAGED = ", damaged"
"""What stands behind the encoding of a text in which something does not decode."""

DAMAGED_UTF8 = UTF8 + DAMAGED
RULE = "texts-2"
"""Version of how texts are decoded; to be raised with any change that reads any text in another way."""


@dataclass(frozen=True)
class DecodedText:
    """A text with the encoding that it was read in: a name of Python's codecs, with `DAMAGED` behind it or not."""

    text: str
    encoding: str


def decode_text(data: bytes, encoding: str | None = None) -> DecodedText:
    """The text in the bytes, by the rule above for a collection of one; never fails.

    >>> decode_text("很好看".encode("gb18030"))
    DecodedText(text='很好看', encoding='gb18030')
    >>> decode_text("c'est très beau".encode("latin-1"))
    DecodedText(text="c'est très beau", encoding='cp1252')
    """
    return decode_texts([data], encoding)[0]


def decode_texts(texts: Sequence[bytes], encoding: str | None = None) -> list[DecodedText]:
    """The texts of one collection, by the rule above; never fails.

    With `encoding` those that are not UTF-8 are read in it, whatever they look like.
    """
    found = [_decode_self_evident(data) for data in texts]
    open_ones = [i for i, decoded in enumerate(found) if decoded is None]
    rest = [texts[i].removeprefix(codecs.BOM_UTF8) for i in open_ones]
    names = [encoding] * len(rest) if encoding is not None else _guess_each(rest)
    for i, data, name in zip(open_ones, rest, names, strict=True):
        found[i] = _decode(data, name)
    return [decoded for decoded in found if decoded is not None]


def decode_table(data: bytes, encoding: str | None = None) -> tuple[str, list[str]]:
    """The text of a table and the encoding of each of its lines, which are one collection by the rule above.

    So the odd line in another encoding leaves the others whole. In UTF-16 the table is one text.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
        whole = decode_text(data, encoding)
        return whole.text, [whole.encoding] * len(whole.text.splitlines())
    lines = decode_texts(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), encoding)
    return "\n".join(line.text for line in lines), [line.encoding for line in lines if line.text.strip()]


def check_encoding(name: str | None, where: str) -> str | None:
    """The name of an encoding as Python's codecs have it; None stays None.

    Raises OptionError, starting with `where`, when there is no such encoding of texts.
    """
    if name is None:
        return None
    try:
        found = codecs.lookup(name)
        "a".encode(found.name)
    except (LookupError, ValueError):
        from encodings.aliases import aliases

        hint = did_you_mean(name, sorted({*aliases, *aliases.values()}))
        raise OptionError(f"{where}: encoding: there is no '{name}'{hint}") from None
    return found.name


def summarise_encodings(encodings: Sequence[str], things: str = "texts") -> str | None:
    """What is to be told of the encodings that texts were read in; None where nothing was assumed or damaged.

    >>> summarise_encodings(["gb18030", "utf-8", "utf-8", "gb18030"])
    '2 of 4 texts are read as gb18030, the rest as UTF-8; `encoding` overrules'
    """
    counts = Counter(name for name in encodings if name)
    odd = {name: count for name, count in counts.most_common() if name not in (UTF8, UTF16)}
    if not odd:
        return None
    total = sum(counts.values())
    parts = [f"{count:,} of {total:,} {things} are read as {name}" for name, count in list(odd.items())[:1]]
    parts += [f"{count:,} as {name}" for name, count in list(odd.items())[1:]]
    parts += ["the rest as UTF-8"] if counts[UTF8] else []
    return f"{', '.join(parts)}; `encoding` overrules"


def replace_surrogates(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which no file can take.

    They come from file names that are not UTF-8, and from emoji cut in two in JSON.
    """
    return text.encode("utf-16-le", errors="surrogatepass").decode("utf-16-le", errors="replace")


def _decode_self_evident(data: bytes) -> DecodedText | None:
    """The text where its bytes alone say what they are: by a byte order mark, or since they are UTF-8."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _decode(data, UTF16)
    plain = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = plain.decode(UTF8)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else DecodedText(text, UTF8)


def _decode(data: bytes, encoding: str) -> DecodedText:
    try:
        return DecodedText(data.decode(encoding), encoding)
    except UnicodeDecodeError:
        if encoding == LATIN:  # which leaves five bytes undefined
            return DecodedText(data.decode(ISO_LATIN), ISO_LATIN)
        return DecodedText(data.decode(encoding, errors="replace"), encoding + DAMAGED)


def _guess_each(texts: Sequence[bytes]) -> list[str]:
    from harness_data.encoding_evidence import guess_encodings  # builds tables, which UTF-8 alone needs not

    return guess_encodings(texts) if texts else []
