"""Videos with captions: the frames shown are those of certain times, whatever the file's rate, and never others."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness import DataError, OptionError, decode
from harness.testing import DatasetConformance
from harness_data.video_captions import VideoCaptions
from harness_data.video_facts import read_video_facts
from harness_data.video_frames import plan_frames, read_frames
from harness_data.video_sampling import choose_frames, choose_pictures, space_with_ends
from harness_data.video_sources import list_pictures

av = pytest.importorskip("av")

HEIGHT, WIDTH = 16, 32


def film(
    path: Path,
    stamps: list[int],
    base: int = 1000,
    codec: str = "mpeg4",
    every: int = 12,
    rate: int = 10,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a film whose frame n is grey, of the value 8 n, and shown at stamps[n] / base seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, base)
        stream.gop_size, stream.bit_rate = every, 4_000_000
        if codec == "libx264":  # frames in another order than they are shown
            stream.options = {"x264-params": "bframes=2:b-adapt=0:log-level=none"}
        for n, stamp in enumerate(stamps):
            pixels = np.full((HEIGHT, WIDTH, 3), grey(n), np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, base)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def grey(n: int) -> int:
    return 8 + 7 * n


def number_of(pixels: Any) -> int:
    """The number of the frame that pixels show."""
    found = (float(np.mean(pixels)) - 8) / 7
    assert abs(found - round(found)) < 0.4
    return round(found)


def shown(split: Any, index: int = 0) -> list[int]:
    return [number_of(np.asarray(image)) for image in split[index].images]


def table(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "captions.csv"
    path.write_text(
        "video,caption\n" + "".join(f"{name},film {name}\n{name},again {name}\n" for name in names)
    )
    return path


def evenly(count: int, gap: int = 100) -> list[int]:
    return list(range(0, count * gap, gap))


class TestVideoCaptions(DatasetConformance):
    @pytest.fixture
    def dataset(self, tmp_path: Path) -> VideoCaptions:
        film(tmp_path / "a.mp4", evenly(10))
        film(tmp_path / "b.mp4", evenly(20))
        pictures(tmp_path / "c", 5)
        return VideoCaptions(table(tmp_path, "a.mp4", "b", "c"), frames=3)


def pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for n in range(count):
        Image.new("RGB", (WIDTH, HEIGHT), (grey(n),) * 3).save(folder / f"frame{n}.png")


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (
            {"frames": 4},
            [3, 11, 18, 26],
        ),  # the middles of quarters of 3 s are at .375, 1.125, 1.875 and 2.625 s
        ({"frames": 4, "sampling": "fps"}, [0, 10, 20]),
        ({"frames": 4, "sampling": "fps", "fps": 2}, [0, 5, 15, 25]),  # positions 0, 5/3, 10/3, 5 of six
        ({"frames": 4, "sampling": "head", "fps": 2}, [0, 5, 10, 15]),
        ({"frames": 1}, [15]),
    ],
)
def test_frames_are_those_of_their_times(tmp_path, options, wanted):
    film(tmp_path / "a.mp4", evenly(30))
    split = VideoCaptions(table(tmp_path, "a"), **options).load("test")
    assert shown(split) == wanted
    assert split.frame_times == [tuple(pytest.approx(n / 10) for n in wanted)]
    assert split.targets == [("film a", "again a")]
    assert (split.ids, split.groups) == (["a"], ["a"])
    named = ", ".join(f"{n / 10:.2f}" for n in wanted)
    assert any(
        said.startswith("frames shown are") and f"a.mp4 those at {named} s" in said for said in split.remarks
    )


def test_a_variable_rate_does_not_shift_the_frames(tmp_path):
    # ten frames in the first second, then one that stands for two seconds, then one a second
    stamps = [*evenly(11), 3000, 4000]
    film(tmp_path / "a.mkv", stamps, codec="mpeg4")
    film(tmp_path / "steady.mkv", evenly(13))
    data = VideoCaptions(table(tmp_path, "a", "steady"), frames=9, sampling="head")
    split = data.load("test")
    assert shown(split) == [0, 10, 11, 12]  # the frame of 1 s is still seen at 2 s, and counts once
    said = "\n".join(split.remarks)
    assert (
        "1 of 2 videos have a variable frame rate: times decide which frames are shown (first: a.mkv)" in said
    )
    assert "2 of 2 videos show fewer than 9 frames, each frame once" in said


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", "mpeg4"), (".mkv", "libx264"), (".mp4", "libx264"), (".avi", "mpeg4"), (".avi", "libx264"), (".webm", "libvpx")],
)  # fmt: skip
def test_entering_at_keyframes_shows_the_same_as_decoding_all(tmp_path, suffix, codec):
    stamps, base = (list(range(30)), 10) if suffix == ".avi" else (evenly(30), 1000)
    try:
        path = film(tmp_path / f"a{suffix}", stamps, base, codec, every=6)
    except (av.error.FFmpegError, ValueError) as error:
        pytest.skip(f"this PyAV has no encoder {codec} ({error})")
    facts = read_video_facts(path)
    assert len(facts.times) == 30
    assert facts.times == pytest.approx([n / 10 for n in range(30)], abs=0.002)
    assert facts.duration == pytest.approx(3, abs=0.02)
    assert not facts.variable
    with av.open(str(path)) as container:
        whole = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for positions in ([0], [29], [3, 4, 5], [1, 13, 14, 28], range(30)):
        found = read_frames(path, plan_frames(facts, positions))
        assert [number_of(pixels) for pixels in found] == list(positions)
        assert all((pixels == whole[n]).all() for pixels, n in zip(found, positions, strict=True))


def test_videos_without_times_are_counted(tmp_path):
    path = film(tmp_path / "a.m4v", list(range(20)), base=10, codec="mpeg4")
    facts = read_video_facts(path)
    assert len(facts.times) == 20
    found = read_frames(path, plan_frames(facts, [2, 3, 19]))
    assert [number_of(pixels) for pixels in found] == [2, 3, 19]


def test_broken_and_missing_videos_are_counted_and_never_replaced(tmp_path):
    film(tmp_path / "whole.mp4", evenly(20))
    data = film(tmp_path / "start.mp4", evenly(20), options={"movflags": "faststart"}).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    (tmp_path / "start.mp4").unlink()
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    names = ("cut.mp4", "text.mp4", "empty.mp4", "folder", "gone.mp4", "whole.mp4")
    split = VideoCaptions(table(tmp_path, *names), frames=2).load("test")
    assert shown(split, 5) == [5, 15]
    assert any(
        said.startswith("5 of 6 videos can't be read (first: captions.csv:2: ") for said in split.remarks
    )
    problems = (
        "cut.mp4: is cut short: .* of 20 frames", "text.mp4: can't be read as a video", "empty.mp4: can't be read",
        "folder holds no picture", "gone.mp4: no such video",
    )  # fmt: skip
    for index, said in enumerate(problems):
        with pytest.raises(DataError, match=rf"captions.csv:{2 * index + 2}: .*{said}"):
            split[index]


def test_a_video_that_lost_its_end_is_remarked(tmp_path):
    data = film(tmp_path / "b.mkv", evenly(30, 200), every=1).read_bytes()
    (tmp_path / "a.mkv").write_bytes(data[: len(data) // 2])
    split = VideoCaptions(table(tmp_path, "a", "b"), frames=2).load("test")
    assert (
        "1 of 2 videos end before the length that they state: something may be missing (first: a.mkv)"
        in split.remarks
    )


def test_a_damaged_frame_is_refused(tmp_path):
    path = film(tmp_path / "a.mp4", evenly(20), every=1)
    facts, data = read_video_facts(path), bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][7]
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a.mp4: (can't be decoded|its frame at 0.70 s can't be decoded)"):
        read_frames(path, plan_frames(facts, [7]))
    assert [number_of(pixels) for pixels in read_frames(path, plan_frames(facts, [6, 8]))] == [6, 8]


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "mpeg4"), (".mp4", "libx264"), (".ts", "mpeg2video")])
def test_damage_that_a_decoder_would_conceal_is_refused(tmp_path, suffix, codec):
    path, rng = tmp_path / f"a{suffix}", np.random.default_rng(0)
    try:
        container = av.open(str(path), "w")
        stream = container.add_stream(codec, rate=10)
    except (av.error.FFmpegError, ValueError) as error:
        pytest.skip(f"this PyAV has no encoder {codec} ({error})")
    with container:
        stream.width, stream.height, stream.pix_fmt = 192, 192, "yuv420p"
        stream.gop_size, stream.bit_rate, stream.codec_context.max_b_frames = 5, 800_000, 0
        scene = rng.integers(0, 255, (12, 12, 3), np.uint8).repeat(16, 0).repeat(16, 1)
        for n in range(10):
            pixels = np.roll(scene, 5 * n, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    facts = read_video_facts(path)
    assert len(read_frames(path, plan_frames(facts, range(10)))) == 10
    with av.open(str(path)) as opened:
        packets = [packet for packet in opened.demux(video=0) if packet.size]
    whole = path.read_bytes()
    for packet in packets[:4]:
        data, at = bytearray(whole), packet.pos + packet.size // 4
        data[at : at + 150] = rng.integers(0, 255, 150, np.uint8).tobytes()
        path.write_bytes(data)
        with pytest.raises(DataError, match="can't be decoded"):
            read_frames(path, plan_frames(facts, [4]))


def test_videos_are_turned_as_they_say(tmp_path):
    def pixels(turned: bool) -> Any:
        path = film(tmp_path / "a.mp4", [0], every=1)
        left = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        left[:, : WIDTH // 2] = 200
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(left, format="rgb24")))
            container.mux(stream.encode())
        if turned:  # the matrix of a telephone held upright: a quarter turn clockwise
            data = bytearray(path.read_bytes())
            at = data.index(b"tkhd") + 44
            matrix = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30], ">i4")
            data[at : at + 36] = matrix.tobytes()
            path.write_bytes(data)
        return read_frames(path, plan_frames(read_video_facts(path), [0]))[0]

    upright, turned = pixels(False), pixels(True)
    assert upright.shape == (HEIGHT, WIDTH, 3)
    assert turned.shape == (WIDTH, HEIGHT, 3)
    assert (turned == np.rot90(upright, -1)).all()
    assert turned[: WIDTH // 2].mean() > 150 > 50 > turned[WIDTH // 2 :].mean()


def test_folders_of_frames_are_in_the_order_of_their_numbers(tmp_path):
    pictures(tmp_path / "clips/c", 12)
    assert [path.stem for path in list_pictures(tmp_path / "clips/c")] == [f"frame{n}" for n in range(12)]
    data = VideoCaptions(table(tmp_path, "c"), videos=tmp_path / "clips", frames=3)
    split = data.load("test")
    images = [number_of(np.asarray(decode(image, "x"))) for image in split[0].images]
    assert images == [2, 6, 10]
    assert split.frame_times == [()]
    assert (
        "1 of 1 videos are folders of pictures, of which at most 3, evenly spaced, are shown" in split.remarks
    )


def test_two_videos_of_one_name_are_refused(tmp_path):
    film(tmp_path / "a.mp4", evenly(2))
    film(tmp_path / "a.mkv", evenly(2))
    with pytest.raises(DataError, match=r"video 'a' may be a.mkv or a.mp4"):
        VideoCaptions(table(tmp_path, "a")).load("test")


def test_a_file_without_pictures_is_refused(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DataError, match="holds no pictures, only: audio"):
        read_video_facts(tmp_path / "a.mp4")


@given(
    gaps=st.lists(st.floats(0.001, 3), min_size=0, max_size=30),
    last=st.floats(0.001, 3),
    frames=st.integers(1, 15),
    sampling=st.sampled_from(["uniform", "fps", "head"]),
    fps=st.floats(0.2, 40),
)
def test_chosen_frames_are_the_ones_seen(gaps, last, frames, sampling, fps):
    times = np.concatenate([[0.0], np.cumsum(gaps)]).tolist()
    duration = times[-1] + last
    found = choose_frames(times, duration, sampling, frames, fps)
    assert found == sorted(set(found))
    assert 1 <= len(found) <= frames
    assert found[0] >= 0
    assert found[-1] < len(times)
    if sampling != "uniform":
        assert found[0] == 0
    if sampling == "uniform" and len(times) == 1:
        assert found == [0]


@given(st.integers(1, 40), st.integers(1, 40))
def test_even_spacing_is_that_of_linspace(count, most):
    # CLIP4Clip: np.linspace(0, n - 1, num=max_frames, dtype=int), where rounding of floats may fall below an integer
    wanted = (
        np.floor(np.linspace(0, count - 1, most) + 1e-9).astype(int).tolist()
        if count > most
        else [*range(count)]
    )
    assert space_with_ends(count, most) == wanted
    for sampling in ("uniform", "fps", "head"):
        found = choose_pictures(count, sampling, most)
        assert found == sorted(set(found))
        assert len(found) == min(count, most)


def test_bad_options_and_a_missing_decoder(tmp_path, monkeypatch):
    for options, said in (
        ({"frames": 0}, "frames is 0"),
        ({"fps": 0.0}, "fps is 0"),
        ({"sampling": "all"}, "uniform, fps, head"),
    ):
        with pytest.raises(OptionError, match=said):
            VideoCaptions(tmp_path, **options)
    pictures(tmp_path / "c", 2)
    path = table(tmp_path, "c")
    monkeypatch.setattr("harness_data.video_captions.find_spec", lambda name: None)
    assert VideoCaptions(path).unavailable() is None
    film(tmp_path / "a.mp4", evenly(2))
    assert "pip install 'vision-harness[video]'" in VideoCaptions(path).unavailable()


def test_the_fingerprint_follows_the_videos(tmp_path):
    film(tmp_path / "a.mp4", evenly(5))
    path = table(tmp_path, "a")
    first = VideoCaptions(path).fingerprint()
    assert VideoCaptions(path).fingerprint() == first
    film(tmp_path / "a.mp4", evenly(6))
    assert VideoCaptions(path).fingerprint() != first
