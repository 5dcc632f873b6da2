"""How likely bytes are a text in each of several encodings: their cost in bits by a crude model of characters.

The model knows how common classes of characters are (letters of a script, kana, common and rare ideographs,
punctuation, symbols) and which neighbours are unusual (letters of two scripts in a word, a capital after a
small letter, symbols in words). It was not trained: its numbers are rounded shares of what people write, and
its lists of common characters are the heads of each language's frequency list. In the wrong encoding a text
decodes to rare ideographs, symbols inside words or letters of two scripts, and costs some ten more bits per
character.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENCODINGS: Mapping[str, float] = {
    "utf-8": 0.5,  # damaged texts: valid UTF-8 never gets here
    "cp1252": 0.5,
    "gb18030": 0.5,
    "big5hkscs": 2.0**-6,
    "cp932": 2.0**-6,
    "euc_jp": 2.0**-2,
    "cp949": 2.0**-6,
    "cp1251": 2.0**-9,
    "koi8_r": 2.0**-9,
    "cp1250": 2.0**-10,
    "cp1253": 2.0**-10,
    "cp1254": 2.0**-10,
    "utf-16-le": 2.0**-6,
    "utf-16-be": 2.0**-6,
}
"""Candidate encodings by codec name, with the number of texts assumed to be seen in each beforehand."""

SAMPLE = 2000
"""The most texts from which the shares of encodings are estimated."""

ROUNDS = 200
"""The most iterations that refine the shares."""

BROKEN = 28.0
"""Bits per undecodable place: a damaged text in the right encoding still costs less than mojibake."""

CUT = 20.0
"""Bits for a text that ends within a character: some programs cut posts at a number of bytes."""

_SEVERAL_BYTES = ("utf-8", "gb18030", "big5hkscs", "cp932", "euc_jp", "cp949")

_HANS = (
    "的一是了不在有人我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都"
    "同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间"
    "由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水"
    "名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形"
    "社便空决治展科司五基眼书非则听白界达光放强即像难且权思王象完设式色路记南品住告类求据程北边张该交规万取拉格望觉术确传师观清今切院让识带"
    "请爱喜欢图片照吃快乐节朋友微博转错误文件输置名选项户密码"
)
_HANT = (
    "的一是了不在有人我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家種事成方多經麼去法學如都"
    "同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十民第公此已工使情明性知全三又關點正業外將兩高間"
    "由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯月話合回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比員解水"
    "名真論處走義各入幾口認條平系氣題活爾更別打女變四神總何電數安少報才結反受目太量再感建務做接必場件計管期市直德資命山金指克許統區保至隊形"
    "請愛喜歡圖片照吃快樂節朋友錯誤檔案輸置選項戶密碼設無法"
)
_JA = (
    "日一国人年大十二本中長出三時行見月後前生五間上東四今金九入学高円子外八六下来気小七山話女北午百書先名川千水半男西電校語土木聞食車何南万"
    "毎白天母火右読友左休父雨会同事自社発者地業方新場員立開手力問代明動京目通言理体田主題意不作用度強公持野以思家世多正安院心界教文元重近考画"
    "海売知道集別物使品計死特私始朝運終台広住真有口少町料工建空急止送切転研足究楽起着店病質待試族銀早映親験英医仕去味写字答夜音注帰古歌買悪図"
    "次無数設定指効能表示対象場合変更選択接続消除名前部分内容最情報面実可必要失敗読込保存"
)
_KO = (
    "이다는에의가을하고지은기로한도사리어나를시자그수해있서인대아라정보일만으면것게없들안부요스니제전상주원구용동장성여적조오과중무비선신유문연실소"
    "생공경우미거마모관내계방개학회화위할입습된되음파출력행명않때데까와했세두려및설추간국날좋너내말더잘못년월번못합"
)
_CYRILLIC = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъёіїєґ"
_GREEK = "αοιετσνηυρπκμλςίάόέήύώδγχθφβξζψ"
_ACCENTED = {
    **dict.fromkeys("éàèáíóñçãüöäåêúâõïðþ", 6.5),
    **dict.fromkeys("øæìòùœ", 7.0),
    "û": 7.5,
    **dict.fromkeys("îôëßýºª", 8.0),
    **dict.fromkeys("ÉÀÇÖÄÜÅØ", 9.0),
}
"""Western European letters. Keep each at least as common as the Central European or Turkish letter of the same
byte where possible, or Italian, Danish, Dutch and Icelandic texts pass for Czech or Turkish."""

_CENTRAL = dict.fromkeys("ąćęłńśźżčďěňřšťůžűőşţ", 7.0) | dict.fromkeys("ýă", 6.5)
_TURKISH = {"ı": 6.5, "ş": 7.0, "ğ": 7.5, "İ": 8.5, "Ş": 9.5}

# classes of characters
(BAD, LOW, UP, DIGIT, SPACE, ASCII, LOW2, UP2, CYR, CYR_UP, GREEK, GREEK_UP, KANA, HALF, HAN, HANGUL, WIDE,
 TYPE, SYMBOL, EMOJI, OTHER) = range(21)  # fmt: skip
_LETTERS = (LOW, UP, LOW2, UP2, CYR, CYR_UP, GREEK, GREEK_UP)
_SMALL = {LOW: LOW, LOW2: LOW, CYR: CYR, GREEK: GREEK}
_CAPITAL = {UP: LOW, UP2: LOW, CYR_UP: CYR, GREEK_UP: GREEK}
_BITS = {
    BAD: BROKEN, LOW: 4.5, UP: 6.0, DIGIT: 5.5, SPACE: 3.0, ASCII: 6.0, LOW2: 10.0, UP2: 11.0, CYR: 12.0, CYR_UP: 13.0,
    GREEK: 6.5, GREEK_UP: 9.0, KANA: 6.5, HALF: 12.0, HAN: 18.0, HANGUL: 15.0, WIDE: 7.0, TYPE: 7.0, SYMBOL: 11.0,
    EMOJI: 10.0, OTHER: 9.0,
}  # fmt: skip


def guess_encodings(texts: Sequence[bytes]) -> list[str]:
    """Guess the encoding of each text of a collection, none of which is valid UTF-8.

    Estimate the shares of encodings from at most `SAMPLE` texts. A rare encoding (with a small count in
    `ENCODINGS`) must hold one text in a hundred: a single text that fits it best is more likely an odd text.
    """
    zeros = any(b"\0" in text for text in texts)
    names = [name for name in ENCODINGS if zeros or not name.startswith("utf-16")]
    count = min(len(texts), SAMPLE)
    sample = [texts[i * len(texts) // count] for i in range(count)]
    bits = np.stack([measure_bits(sample, name) for name in names])
    assumed = np.array([ENCODINGS[name] for name in names])
    counts = _infer_shares(bits, assumed).sum(axis=1)
    usual = np.flatnonzero((assumed == 0.5) | (counts >= max(0.5, count / 100)))
    parts = _infer_shares(bits[usual], assumed[usual])
    if count < len(texts):
        costs = np.stack([measure_bits(texts, names[k]) for k in usual])
        parts = np.log2(parts.sum(axis=1) + assumed[usual])[:, None] - costs
    return [names[usual[k]] for k in parts.argmax(axis=0)]


def _infer_shares(bits: NDArray[np.float64], assumed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Infer the probability of each encoding (rows) for each text (columns), given the other texts.

    This is collapsed variational inference of a mixture in its simplest form (CVB0: Asuncion, Welling,
    Smyth and Teh, UAI 2009): the counts that decide on a text exclude its own part, so a single text is
    judged only by `assumed` and its bits.
    """
    likelihood = np.exp2(bits.min(axis=0) - bits)
    parts: NDArray[np.float64] = likelihood * assumed[:, None]
    parts /= parts.sum(axis=0)
    for _ in range(ROUNDS):
        others = parts.sum(axis=1, keepdims=True) - parts
        new = likelihood * (np.maximum(others, 0) + assumed[:, None])
        new /= new.sum(axis=0)
        done = np.abs(new - parts).max() < 1e-6
        parts = new
        if done:
            break
    return parts


def measure_bits(texts: Sequence[bytes], encoding: str) -> NDArray[np.float64]:
    """Return the bits of each text in an encoding, with `BROKEN` per undecodable place, or `CUT` at the end."""
    decoded = [text.decode(encoding, errors="replace") for text in texts]
    bits = _sum_bits(decoded, encoding)
    if encoding in _SEVERAL_BYTES:
        bits[[text.endswith("\ufffd") for text in decoded]] -= BROKEN - CUT
    return bits


def _sum_bits(texts: Sequence[str], encoding: str) -> NDArray[np.float64]:
    """Sum the bits of each text: of its characters, and of each pair of neighbours."""
    bits, classes = _build_tables(encoding)
    # a line break between texts keeps their letters from becoming neighbours
    joined = "\n".join(texts) + "\n"
    points = np.frombuffer(joined.encode("utf-32-le", errors="surrogatepass"), np.uint32)
    low = np.minimum(points, 0xFFFF)
    kinds = np.where(points > 0xFFFF, _classify_astral(points), classes[low])
    each = np.where(points > 0xFFFF, np.array([_BITS[k] for k in range(len(_BITS))])[kinds], bits[low])
    each = each.astype(np.float64)
    each[1:] += _build_neighbour_bits()[kinds[:-1], kinds[1:]]
    lengths = np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts))
    return np.add.reduceat(each, np.cumsum(lengths) - lengths)


def _classify_astral(points: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return the classes of characters beyond the first 65,536."""
    emoji = (points >= 0x1F000) & (points < 0x1FB00)
    ideograph = (points >= 0x20000) & (points < 0x32000)
    return np.where(emoji, EMOJI, np.where(ideograph, HAN, BAD)).astype(np.uint8)


@cache
def _build_class_table() -> NDArray[np.uint8]:
    return np.array([_classify(point) for point in range(0x10000)], np.uint8)


def _classify(point: int) -> int:
    char = chr(point)
    kind = unicodedata.category(char)
    if point == 0xFFFD or kind in ("Cn", "Co", "Cs", "Cc"):
        return SPACE if char in "\t\n\r" else BAD
    if point < 0x80:
        return (
            LOW
            if kind == "Ll"
            else UP
            if kind == "Lu"
            else DIGIT
            if kind == "Nd"
            else SPACE
            if char == " "
            else ASCII
        )
    if point in (0xA0, 0x3000):
        return SPACE
    if kind[0] in "LM" and point < 0x250:
        return UP2 if kind == "Lu" else LOW2
    if 0x370 <= point < 0x400 and kind[0] == "L":
        return GREEK_UP if kind == "Lu" else GREEK
    if 0x400 <= point < 0x530 and kind[0] == "L":
        return CYR_UP if kind == "Lu" else CYR
    if 0x3040 <= point < 0x3100:
        return KANA
    if 0xFF61 <= point < 0xFFA0:
        return HALF
    if 0x3400 <= point < 0xA000 or 0xF900 <= point < 0xFB00:
        return HAN
    if 0xAC00 <= point < 0xD7A4:
        return HANGUL
    if 0x3000 <= point < 0x3018 or 0xFF00 < point < 0xFF61:
        return WIDE
    if char in "–—‘’‚“”„†‡•…‹›™€«»©®°·£‰":
        return TYPE
    if point in (0x200D, 0xFE0F) or 0x2600 <= point < 0x27C0:
        return EMOJI
    return OTHER if kind[0] in "LM" else SYMBOL


@cache
def _build_tables(encoding: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the bits and class of each of the first 65,536 characters for texts in an encoding."""
    classes = _build_class_table()
    bits = np.array([_BITS[k] for k in range(len(_BITS))], np.float32)[classes]
    for alphabet in (_CYRILLIC, _GREEK):
        for rank, char in enumerate(alphabet):
            bits[ord(char)] = 4.5 if rank < 15 else 6.0 if rank < 28 else 7.5
            bits[ord(char.upper())] = bits[ord(char)] + 2.0
    bits[0x2500:0x25A0] = 14.0  # lines and boxes
    if encoding in ("big5hkscs", "cp949"):
        bits[classes == KANA] = 7.5
    usual = dict(_ACCENTED) | {"cp1250": _CENTRAL, "cp1254": _TURKISH}.get(encoding, {})
    for char, common in usual.items():
        bits[ord(char)] = common
    for char, rare in {
        "©": 9.0,
        "®": 9.0,
        "°": 8.0,
        "¡": 7.0,
        "¿": 5.0,
        "·": 9.0,
        "‰": 12.0,
        "\xa0": 7.0,
        "†": 11.0,
        "〖": 11.0,
    }.items():
        bits[ord(char)] = rare
    for char in "’“”…–—‘":
        bits[ord(char)] = 6.0
    _set_ideograph_bits(bits, encoding)
    return bits, classes


def _set_ideograph_bits(bits: NDArray[np.float32], encoding: str) -> None:
    """Set the bits of ideographs and syllables by frequency lists and by the levels of national standards."""
    standards: list[tuple[str, Callable[[int], bool]]] = {
        "gb18030": [("gb2312", lambda lead: lead < 0xD8), ("big5", lambda lead: lead < 0xC7)],
        "big5hkscs": [("big5", lambda lead: lead < 0xC7)],
        "cp932": [("euc_jp", lambda lead: lead < 0xD0)],
        "euc_jp": [("euc_jp", lambda lead: lead < 0xD0)],
    }.get(encoding, [("gb2312", lambda lead: lead < 0xD8), ("big5", lambda lead: lead < 0xC7)])
    if encoding == "cp949":
        for point in range(0xAC00, 0xD7A4):
            if _find_lead_byte(chr(point), "euc_kr") is not None:
                bits[point] = 13.0
        for char in _KO:
            bits[ord(char)] = 7.5
        return
    for standard, first_level in standards:
        for point in range(0x4E00, 0x9FA6):
            lead = _find_lead_byte(chr(point), standard)
            if lead is not None:
                bits[point] = min(bits[point], 13.0 if first_level(lead) else 17.0)
    if encoding == "gb18030":  # traditional characters are the exception there
        for char in _HANT:
            bits[ord(char)] = 10.5
    common = {"gb18030": _HANS, "big5hkscs": _HANT, "cp932": _JA, "euc_jp": _JA}.get(
        encoding, _HANS + _HANT + _JA
    )
    for char in common:
        bits[ord(char)] = 9.0


def _find_lead_byte(char: str, standard: str) -> int | None:
    """Return the first of a character's two bytes in a national standard; None if it has no two-byte code there."""
    try:
        data = char.encode(standard)
    except UnicodeEncodeError:
        return None
    return data[0] if len(data) == 2 else None


@cache
def _build_neighbour_bits() -> NDArray[np.float64]:
    """Return the extra bits of a character after another, by the classes of the first (rows) and second."""
    extra = np.zeros((len(_BITS), len(_BITS)))
    script = {**_SMALL, **_CAPITAL}
    for a in _LETTERS:
        for b in _LETTERS:
            if script[a] != script[b]:
                extra[a, b] = 8.0
            elif a in _SMALL and b in _CAPITAL and (a, b) != (LOW, UP):
                extra[a, b] = 6.0
        for other in (SYMBOL, HALF, OTHER):
            extra[a, other] += 6.0
            extra[other, a] += 2.0
        for other in (HAN, HANGUL, KANA):
            extra[a, other] += 4.0
            extra[other, a] += 4.0
    extra[LOW2, TYPE] += 1.0
    extra[UP2, TYPE] += 5.0
    for a in (UP2, LOW2, CYR, CYR_UP):
        extra[a, SYMBOL] += 2.0
    for other in (SYMBOL, OTHER, HALF):
        extra[SYMBOL, other] += 3.0 if other == SYMBOL else 1.0
    for a in (SPACE, ASCII, DIGIT):
        extra[a, HAN] += 2.0
        for letter in (CYR, CYR_UP, GREEK, GREEK_UP):  # one-letter words are rare
            extra[a, letter] += 2.0
            extra[letter, a] += 2.0
    return extra
