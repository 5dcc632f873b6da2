"""In which encoding the texts of a collection are: decided from all of them, overruled by an option, and told."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.errors import OptionError
from harness_data.mvsa import MVSA
from harness_data.pairs import Pairs
from harness_data.text_encoding import UTF8, decode_table, decode_text, decode_texts, summarise_encodings

WORDS = {
    language: text.split()
    for language, text in {
        "en": "a day at the beach with my best friends and so much more to come again now",
        "ru": "сегодня хорошая погода мы идём гулять парк вместе друзья новый день город красиво",
        "zh": "今天 天气 真好 我们 一起 去 公园 玩 喜欢 这个 地方 生日 快乐 朋友 照片",
        "zh_TW": "今天 天氣 真好 我們 一起 去 公園 玩 喜歡 這個 地方 生日 快樂 朋友 照片",
        "ja": "今日は とても いい 天気 でした みんなで 公園へ 行きました 写真を たくさん 撮りました",
        "ko": "오늘 날씨가 정말 좋아서 우리는 함께 공원에 놀러 갔습니다 사진도 많이 찍었어요",
        "fr": "c'était une très belle journée à la plage où l'été était déjà là, créée pour nous",
        "de": "schöne Grüße aus München über die Straße für größere Mädchen, ätzend öde Übung",
        "el": "σήμερα είναι μια πολύ ωραία ημέρα και πάμε όλοι μαζί στην παραλία φίλοι",
        "cs": "dnes je velmi pěkný den a půjdeme všichni společně do parku přátelé říkají že děkuji",
    }.items()
}
MARKS = ("…", "“wow”", "don’t", "— ok", "http://t.co/x", "#tag")
ENCODED = (
    ("en", "gb18030"), ("ru", "gb18030"), ("zh", "gb18030"), ("zh_TW", "big5"), ("ja", "shift_jis"), ("ja", "euc_jp"),
    ("ko", "euc_kr"), ("ru", "cp1251"), ("ru", "koi8_r"), ("fr", "cp1252"), ("de", "latin-1"), ("el", "cp1253"),
    ("cs", "cp1250"),
)  # fmt: skip
WITHOUT_MARKS = ("koi8_r", "latin-1")


@pytest.mark.parametrize(
    "text",
    ["a day at the beach… http", "#киев #baggage", "“quoted” text", "don’t", "love it 😀", "ελλάδα #x"],
)
def test_a_text_of_gb18030_without_ideographs(text):
    assert decode_text(text.encode("gb18030")).text == text
    assert decode_text(text.encode()).text == text


def _tweets(count):
    """English posts with a curly mark or an emoji, as a phone writes them."""
    ends = (
        "… http://t.co/abc",
        " “yes”",
        " don’t",
        " 😀",
        " — #киев",
        " • café",
        " 日本",
        " ありがとう",
        " niño £5",
    )
    return [f"post number {i} about {WORDS['en'][i % 9]}{ends[i % len(ends)]}" for i in range(count)]


def test_a_collection_mostly_in_utf8_with_posts_in_gb18030():
    posts = _tweets(900)
    data = [t.encode("gb18030") if i % 4 == 0 else t.encode() for i, t in enumerate(posts)]
    found = decode_texts(data)
    assert [d.text for d in found] == posts
    assert [d.encoding for d in found].count("gb18030") == 225
    assert summarise_encodings([d.encoding for d in found]) == (
        "225 of 900 texts are read as gb18030, the rest as UTF-8; `encoding` overrules"
    )


def test_a_text_that_says_enough_is_read_by_itself():
    posts = _tweets(200)
    french = ["c'est très beau à la plage", "créée", "un café", "déjà vu"]
    found = decode_texts([t.encode("gb18030") for t in posts] + [t.encode("cp1252") for t in french])
    assert [d.text for d in found] == posts + french
    assert {d.encoding for d in found[200:]} == {"cp1252"}


def test_posts_cut_within_a_character_stay_in_the_encoding_of_the_collection():
    posts = [t.encode("gb18030") for t in _tweets(200)]
    cut = "see you there…".encode("gb18030")[:-1]
    found = decode_texts([*posts, cut])[-1]
    assert (found.text, found.encoding) == ("see you there\ufffd", "gb18030, damaged")
    assert "1 as gb18030, damaged" in (summarise_encodings(["gb18030", "gb18030", found.encoding]) or "")


def test_an_encoding_that_is_given_overrules():
    data = ["тест".encode("koi8_r"), "x…".encode("gb18030"), "été".encode()]
    assert [d.text for d in decode_texts(data, "koi8_r")][::2] == ["тест", "été"]
    assert decode_texts(data, "utf-8")[0].encoding == "utf-8, damaged"
    with pytest.raises(OptionError, match=r"no encoding 'gb1803'; did you mean 'gb18030'\?"):
        Pairs("nowhere", encoding="gb1803")
    with pytest.raises(OptionError, match="there is no encoding 'base64'"):
        MVSA("nowhere", encoding="base64")


def test_utf16_without_a_mark():
    texts = ["plain words here", "été à la plage", "日本 and more"]
    for encoding in ("utf-16-le", "utf-16-be"):
        assert [d.text for d in decode_texts([t.encode(encoding) for t in texts])] == texts


@st.composite
def collections(draw):
    """Texts of a language, some in UTF-8, the others in one legacy encoding."""
    language, encoding = draw(st.sampled_from(ENCODED))
    marks = (
        ()
        if encoding in WITHOUT_MARKS
        else MARKS
        if language in ("en", "fr", "de", "cs")
        else ("#tag", "http")
    )
    words = [*WORDS[language], *WORDS["en"][:3], *marks]
    sizes = st.lists(st.sampled_from(words), min_size=4, max_size=12)
    texts = [" ".join(t) for t in draw(st.lists(sizes, min_size=25, max_size=60))]
    legacy = draw(st.lists(st.booleans() | st.just(True), min_size=len(texts), max_size=len(texts)))
    return texts, legacy, encoding


@settings(max_examples=150, deadline=None)
@given(collections())
def test_what_is_not_read_back_exactly_is_told(collection):
    texts, legacy, encoding = collection
    data = [t.encode(encoding if old else "utf-8") for t, old in zip(texts, legacy, strict=True)]
    found = decode_texts(data)
    wrong = [(d.text, t) for d, t in zip(found, texts, strict=True) if d.text != t]
    told = summarise_encodings([d.encoding for d in found])
    assert bool(told) == any(d.encoding != UTF8 for d in found)
    assert not wrong, (encoding, wrong[:3], told)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=30))
def test_any_bytes_are_texts_and_what_is_assumed_of_them_is_told(data):
    found = decode_texts(data)
    assert len(found) == len(data)
    for d, raw in zip(found, data, strict=True):
        try:
            raw.removeprefix(b"\xef\xbb\xbf").decode()
            plain = b"\0" not in raw and not raw.startswith((b"\xff\xfe", b"\xfe\xff"))
        except UnicodeDecodeError:
            plain = False
        assert not plain or d.encoding == UTF8
    odd = [d for d in found if d.encoding not in (UTF8, "utf-16")]
    assert bool(summarise_encodings([d.encoding for d in found])) == bool(odd)


def test_a_table_is_a_collection_of_lines():
    lines = [f"{i},{t}" for i, t in enumerate(_tweets(50))]
    text, encodings = decode_table("\n".join(lines).encode("gb18030"))
    assert text.split("\n") == lines
    assert {*encodings} == {"gb18030"}
    mixed = "\n".join(lines).encode() + "\n99,a café in Orléans".encode("cp1252")
    text, encodings = decode_table(mixed)
    assert text.split("\n") == [*lines, "99,a café in Orléans"]
    assert encodings.count("cp1252") == 1
    assert decode_table("id,text\n1,été".encode("utf-16-le"))[0] == "id,text\n1,été"


def _image():
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    return file.getvalue()


def test_the_splits_of_a_collection_are_decoded_together_and_told(tmp_path):
    posts = _tweets(60)
    for split, numbers in (("train", range(58)), ("test", range(58, 60))):
        rows = [f"{i},{'ab'[i % 2]}" for i in numbers]
        (tmp_path / f"{split}.csv").write_text("\n".join(["id,label", *rows]))
    for i, post in enumerate(posts):
        (tmp_path / f"{i}.png").write_bytes(_image())
        (tmp_path / f"{i}.txt").write_bytes(post.encode("gb18030"))
    data = Pairs(tmp_path)
    test = data.load("test")
    assert test.texts == posts[58:]
    assert list(test.remarks) == ["2 of 2 texts are read as gb18030; `encoding` overrules"]
    assert test.report["encodings"] == {"gb18030": 2}
    assert data.remarks == []
    told = Pairs(tmp_path, encoding="cp1252").load("test")
    assert told.texts != posts[58:]
    assert {*told.encodings} <= {"cp1252", "latin-1"}


def test_a_table_of_texts_in_another_encoding_is_told_at_planning(tmp_path):
    rows = [f"{i},{'ab'[i % 2]},{t}" for i, t in enumerate(_tweets(40))]
    (tmp_path / "labels.csv").write_bytes("\n".join(["id,label,text", *rows]).encode("gb18030"))
    data = Pairs(tmp_path)
    assert data.load("all").texts == _tweets(40)
    assert data.remarks[0].endswith(
        "lines of labels.csv are read as gb18030, the rest as UTF-8; `encoding` overrules"
    )
    lines = "\n".join(
        json.dumps({"id": i, "label": i % 2, "text": "été …"}, ensure_ascii=False) for i in range(9)
    )
    (tmp_path / "posts.jsonl").write_bytes(lines.encode("cp1252"))
    data = Pairs(tmp_path, labels="posts.jsonl", encoding="windows-1252")
    assert data.load("all").texts == ["été …"] * 9
    assert data.remarks == ["9 of 9 lines of posts.jsonl are read as cp1252; `encoding` overrules"]
