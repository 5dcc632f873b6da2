"""The 19 corruptions against closed forms, slow but plain versions of themselves, and other libraries."""

from __future__ import annotations

import colorsys
import io
from itertools import pairwise

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.datasets import load_sample_images

from harness.errors import DataError, OptionError
from harness_data.corrupted import imagenet_c_crop
from harness_data.corruptions import (
    ALL_CORRUPTIONS,
    CONSTANTS,
    CORRUPTIONS,
    DEVIATIONS,
    EXTRA_CORRUPTIONS,
    SEVERITIES,
    blur,
    corrupt,
    digital,
    geometry,
    pixel_version,
    splashes,
    weather,
)

SETS = ("imagenet", "cifar")


def _squares(side: int) -> list[np.ndarray]:
    photos = load_sample_images().images
    cuts = [photo[:427, left : left + 427] for photo in photos for left in (0, 200)]
    return [np.array(PIL.Image.fromarray(cut).resize((side, side))) for cut in cuts]


@pytest.fixture(scope="module")
def photos() -> dict[int, list[np.ndarray]]:
    """Four photographs at the sizes that the two sets of constants were made for."""
    return {32: _squares(32), 64: _squares(64), 224: _squares(224)}


def _grey(level: int, side: int = 128) -> np.ndarray:
    return np.full((side, side, 3), level, np.uint8)


def test_names_are_the_benchmarks_in_its_order() -> None:
    assert CORRUPTIONS[:3] == ("gaussian_noise", "shot_noise", "impulse_noise")
    assert (len(CORRUPTIONS), len(EXTRA_CORRUPTIONS), len(set(ALL_CORRUPTIONS))) == (15, 4, 19)
    for table in CONSTANTS.values():
        assert set(table) == set(ALL_CORRUPTIONS)
        assert all(len(levels) == 5 for levels in table.values())


def test_cifars_constants_are_not_imagenets() -> None:
    assert CONSTANTS["imagenet"]["gaussian_noise"] == (0.08, 0.12, 0.18, 0.26, 0.38)
    assert CONSTANTS["cifar"]["gaussian_noise"] == (0.04, 0.06, 0.08, 0.09, 0.10)
    for name in ALL_CORRUPTIONS:
        assert CONSTANTS["imagenet"][name] != CONSTANTS["cifar"][name], name


@pytest.mark.parametrize("constants", SETS)
@pytest.mark.parametrize("name", ALL_CORRUPTIONS)
def test_shape_type_input_and_determinism(name: str, constants: str) -> None:
    rng = np.random.default_rng(0)
    for shape in ((8, 8, 3), (8, 21, 3), (33, 17, 3), (64, 64, 3)):
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        before = image.copy()
        for severity in SEVERITIES:
            once = corrupt(image, name, severity, 5, constants)
            assert once.shape == shape
            assert once.dtype == np.uint8
            np.testing.assert_array_equal(once, corrupt(image, name, severity, 5, constants))
        np.testing.assert_array_equal(image, before)


RANDOM = sorted(
    set(ALL_CORRUPTIONS)
    - {"defocus_blur", "zoom_blur", "gaussian_blur", "brightness", "contrast", "saturate", "pixelate"}
    - {"jpeg_compression"}
)


@pytest.mark.parametrize("name", ALL_CORRUPTIONS)
def test_the_seed_matters_exactly_where_there_is_chance(name: str, photos: dict) -> None:
    image = photos[64][0]
    differs = not np.array_equal(corrupt(image, name, 3, 1), corrupt(image, name, 3, 2))
    assert differs == (name in RANDOM)


@pytest.mark.parametrize("name", ALL_CORRUPTIONS)
def test_black_white_and_constant_images_survive(name: str) -> None:
    for constants in SETS:
        for level in (0, 255, 100):
            for severity in (1, 5):
                assert np.isfinite(corrupt(_grey(level, 32), name, severity, 0, constants)).all()


# The published constants do not make every step worse in mean absolute difference. These do not,
# by construction: saturation falls and then rises; the elastic map's large shifts give way to
# small waves; glass trades rounds for reach; frost and snow weigh the image less but not the
# layer more; CIFAR's motion is longer but no wider; spatter turns from water to mud.
UNEVEN = {
    "imagenet": {"saturate", "elastic_transform", "glass_blur", "frost", "snow"},
    "cifar": {"saturate", "elastic_transform", "glass_blur", "frost", "spatter", "motion_blur"},
}


@pytest.mark.parametrize(("constants", "side"), [("imagenet", 224), ("cifar", 32)])
@pytest.mark.parametrize("name", ALL_CORRUPTIONS)
def test_distortion_grows_with_severity(name: str, constants: str, side: int, photos: dict) -> None:
    means = [
        np.mean(
            [
                np.abs(corrupt(p, name, s, i, constants) - p.astype(float)).mean()
                for i, p in enumerate(photos[side])
            ]
        )
        for s in SEVERITIES
    ]
    if name in UNEVEN[constants]:
        if name != "elastic_transform":
            assert means[4] > means[0]
        assert min(means) > 0.5
    else:
        assert (np.diff(means) > 0).all(), means


def test_gaussian_noise_has_the_stated_deviation() -> None:
    # Only severities whose noise rarely reaches 0 or 1 from mid-grey, where clipping would bias it.
    for constants, severities in (("imagenet", (1, 2)), ("cifar", SEVERITIES)):
        for severity in severities:
            noisy = corrupt(_grey(128), "gaussian_noise", severity, 7, constants)
            stated = CONSTANTS[constants]["gaussian_noise"][severity - 1]
            assert noisy.std() / 255 == pytest.approx(stated, rel=0.02)
            assert noisy.mean() == pytest.approx(127.5, abs=0.01 * 128)  # truncated: half a level darker


def test_shot_noise_variance_is_intensity_over_photons() -> None:
    for level in (40, 100):
        for severity in SEVERITIES:
            noisy = corrupt(_grey(level), "shot_noise", severity, 7, "cifar") / 255
            photons = CONSTANTS["cifar"]["shot_noise"][severity - 1]
            assert noisy.var() == pytest.approx(level / 255 / photons, rel=0.05)
    dark = corrupt(_grey(0), "shot_noise", 5, 7)
    assert not dark.any()


def test_speckle_noise_is_proportional_to_intensity() -> None:
    spread = [corrupt(_grey(level), "speckle_noise", 1, 7).std() for level in (40, 80, 120)]
    for level, deviation in zip((40, 80, 120), spread, strict=True):
        assert deviation / level == pytest.approx(0.15, rel=0.03)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulse_noise_replaces_the_stated_share_by_black_and_white(severity: int) -> None:
    noisy = corrupt(_grey(77), "impulse_noise", severity, 7)
    share = CONSTANTS["imagenet"]["impulse_noise"][severity - 1]
    hit = noisy != 77
    assert set(np.unique(noisy[hit])) <= {0, 255, 76}  # 76: truncation of the untouched
    struck = np.isin(noisy, (0, 255))
    deviation = np.sqrt(share / struck.size)
    assert struck.mean() == pytest.approx(share, abs=5 * deviation)
    assert (noisy == 0).mean() == pytest.approx(share / 2, abs=5 * deviation)


def test_contrast_keeps_constants_and_scales_the_spread(photos: dict) -> None:
    for level in (0, 1, 100, 255):
        for severity in SEVERITIES:
            out = corrupt(_grey(level, 16), "contrast", severity, 0).astype(int)
            assert np.abs(out - level).max() <= 1
    photo = photos[224][0]
    for severity, factor in zip(SEVERITIES, CONSTANTS["imagenet"]["contrast"], strict=True):
        out = corrupt(photo, "contrast", severity, 0)
        np.testing.assert_allclose(out.std(axis=(0, 1)), factor * photo.std(axis=(0, 1)), atol=0.5)


@pytest.mark.parametrize("constants", SETS)
def test_brightness_is_monotone_in_severity(constants: str, photos: dict) -> None:
    photo = photos[64][1]
    series = [photo, *(corrupt(photo, "brightness", s, 0, constants) for s in SEVERITIES)]
    for darker, brighter in pairwise(series):
        assert (brighter >= darker.astype(int) - 1).all()
        assert brighter.mean() > darker.mean() + 3


def _through_hsv(pixel: np.ndarray, change: object) -> np.ndarray:
    hue, saturation, value = colorsys.rgb_to_hsv(*(pixel / 255))
    return np.array(colorsys.hsv_to_rgb(*change(hue, saturation, value)))  # type: ignore[operator]


def test_brightness_and_saturate_agree_with_the_standard_librarys_hsv() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    pixels[0, 0], pixels[0, 1], pixels[0, 2] = (0, 0, 0), (90, 90, 90), (255, 255, 255)
    for constants in SETS:
        for severity in SEVERITIES:
            added = CONSTANTS[constants]["brightness"][severity - 1]
            factor, offset = CONSTANTS[constants]["saturate"][severity - 1]
            bright = weather.brightness(pixels, None, added)
            vivid = digital.saturate(pixels, None, (factor, offset))
            for at in np.ndindex(8, 8):
                wanted = _through_hsv(pixels[at], lambda h, s, v, a=added: (h, s, min(v + a, 1)))
                np.testing.assert_allclose(bright[at], wanted, atol=1e-12)
                wanted = _through_hsv(
                    pixels[at], lambda h, s, v, f=factor, o=offset: (h, min(max(s * f + o, 0), 1), v)
                )
                np.testing.assert_allclose(vivid[at], wanted, atol=1e-12)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_pixelate_makes_equal_blocks(severity: int, photos: dict) -> None:
    share = CONSTANTS["imagenet"]["pixelate"][severity - 1]
    out = corrupt(photos[224][0], "pixelate", severity, 0)
    cells = int(224 * share)
    columns_that_change = (np.diff(out.astype(int), axis=1) != 0).any(axis=(0, 2)).sum()
    assert columns_that_change >= cells - 1
    if 224 % cells == 0:
        side = 224 // cells
        blocks = out.reshape(cells, side, cells, side, 3)
        assert (blocks == blocks[:, :1, :, :1]).all()
        means = photos[224][0].reshape(cells, side, cells, side, 3).mean(axis=(1, 3))
        assert np.abs(blocks[:, 0, :, 0] - means).max() <= 1


def test_jpeg_is_pillows_at_the_stated_quality(photos: dict) -> None:
    for severity, quality in zip(SEVERITIES, (25, 18, 15, 10, 7), strict=True):
        file = io.BytesIO()
        PIL.Image.fromarray(photos[64][0]).save(file, "JPEG", quality=quality)
        wanted = np.array(PIL.Image.open(io.BytesIO(file.getvalue())))
        np.testing.assert_array_equal(corrupt(photos[64][0], "jpeg_compression", severity, 0), wanted)


@pytest.mark.parametrize("constants", SETS)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_defocus_is_the_direct_convolution_with_a_disk(severity: int, constants: str, photos: dict) -> None:
    radius, sigma = CONSTANTS[constants]["defocus_blur"][severity - 1]
    kernel = blur.disk_kernel(radius, sigma)
    assert kernel.sum() == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1])
    for image in (photos[32][0], photos[32][1][:9, :23]):
        direct = ndimage.correlate(image / 255, kernel[..., None], mode="mirror")
        np.testing.assert_allclose(blur.defocus_blur(image, None, (radius, sigma)), direct, atol=1e-12)


def _scattered_by_walking(image: np.ndarray, reach: int, seed: int) -> np.ndarray:
    """The authors' loop, one pixel after the other, with the draws of the fast version."""
    image, rng = image.copy(), np.random.default_rng(seed)
    height, width = image.shape[:2]
    shape = (max(height - 2 * reach, 0), max(width - 2 * reach, 0))
    down, right = rng.integers(-reach, reach, shape), rng.integers(-reach, reach, shape)
    for h in range(height - reach, reach, -1):
        for w in range(width - reach, reach, -1):
            at = h - reach - 1, w - reach - 1
            there = h + down[at], w + right[at]
            image[h, w], image[there] = image[there], image[h, w]
    return image


@given(st.integers(8, 20), st.integers(8, 20), st.integers(1, 4), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_glass_scatter_equals_the_sequential_loop(height: int, width: int, reach: int, seed: int) -> None:
    image = np.arange(height * width * 3).reshape(height, width, 3)
    sources = blur._scatter_pixels(height, width, reach, np.random.default_rng(seed))
    fast = image.reshape(height * width, 3)[sources].reshape(image.shape)
    np.testing.assert_array_equal(fast, _scattered_by_walking(image, reach, seed))


def test_motion_blur_of_a_point_is_its_kernel() -> None:
    radius, sigma = 10, 3
    image = np.zeros((64, 64))
    image[32, 40] = 1
    # At angle 0 a pixel looks to its right, so that the point smears to the left.
    blurred = blur.drag(image, radius, sigma, 0)
    weights = np.exp(-np.square(np.arange(21)) / 18)
    np.testing.assert_allclose(blurred[32, 40:19:-1], weights / weights.sum(), atol=1e-6)
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    down = blur.drag(image, radius, sigma, 90)
    np.testing.assert_allclose(down[32:11:-1, 40], weights / weights.sum(), atol=1e-6)
    constant = blur.drag(np.full((9, 9, 3), 5.0), 20, 15, 33)
    np.testing.assert_allclose(constant, 5, atol=1e-4)


@given(st.integers(8, 70), st.integers(8, 70), st.floats(1.01, 4.5))
@settings(max_examples=40, deadline=None)
def test_magnified_centre_equals_scipys_zoom(height: int, width: int, factor: float) -> None:
    image = np.random.default_rng(height).random((height, width, 3))
    crops = [int(np.ceil(n / factor)) for n in (height, width)]
    top, left = ((n - crop) // 2 for n, crop in zip((height, width), crops, strict=True))
    # "nearest": rounding can put the last position a hair beyond the edge, where scipy's default answers 0
    cropped = image[top : top + crops[0], left : left + crops[1]]
    zoomed = ndimage.zoom(cropped, (factor, factor, 1), order=1, mode="nearest")
    top, left = (zoomed.shape[0] - height) // 2, (zoomed.shape[1] - width) // 2
    wanted = zoomed[top : top + height, left : left + width]
    if wanted.shape == image.shape:  # scipy rounds a half to the even number, and may end a pixel short
        np.testing.assert_allclose(geometry.magnify_centre(image, factor), wanted, atol=1e-5)


@pytest.mark.parametrize("repeat_edge", [True, False])
def test_look_up_equals_scipys_interpolation(repeat_edge: bool) -> None:
    rng = np.random.default_rng(3)
    image = rng.random((13, 17, 3))
    y, x = rng.uniform(-20, 30, (13, 17)), rng.uniform(-20, 40, (13, 17))
    mode = "reflect" if repeat_edge else "mirror"
    wanted = [ndimage.map_coordinates(image[..., c], [y, x], order=1, mode=mode) for c in range(3)]
    np.testing.assert_allclose(
        geometry.sample_bilinear(image, y, x, repeat_edge=repeat_edge), np.stack(wanted, axis=-1), atol=1e-12
    )


def test_elastic_without_shift_or_waves_is_the_identity(photos: dict) -> None:
    photo = photos[64][0]
    still = digital.elastic_transform(photo, np.random.default_rng(0), (0, 0, 0))
    np.testing.assert_allclose(still * 255, photo, atol=1e-3)


def test_elastic_smoothing_matrix_equals_scipys_filter() -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (40, 56))
    for sigma in (0.3, 2.4, 150):
        wave = digital._draw_displacements((40, 56), 7.0, sigma, np.random.default_rng(0))
        wanted = 7 * ndimage.gaussian_filter(noise, sigma, mode="reflect", truncate=3)
        np.testing.assert_allclose(wave, wanted, atol=1e-9)


def test_plasma_midpoints_are_the_means_of_their_neighbours() -> None:
    class Still:
        """Draws that add nothing, but for one pulse at the first square's centre."""

        first = True

        def uniform(self, low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
            pulse, self.first = float(self.first), False
            return np.full(shape, pulse)

    cloud = weather.draw_plasma(4, 2.0, Still())  # type: ignore[arg-type]
    # Corner 0, centre 1; the two diamonds between them: (1 + 1 + 0 + 0) / 4.
    assert cloud[0, 0] == 0
    assert cloud[2, 2] == 1
    assert cloud[0, 2] == cloud[2, 0] == 0.5
    # The next squares: (0 + 1 + 0.5 + 0.5) / 4; the next diamonds: two of those and two corners.
    assert cloud[1, 1] == cloud[3, 3] == 0.5
    assert cloud[0, 1] == pytest.approx((0.5 + 0.5 + 0 + 0.5) / 4)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_fog_on_white_lies_between_what_its_strength_allows(severity: int) -> None:
    strength = CONSTANTS["imagenet"]["fog"][severity - 1][0]
    out = corrupt(_grey(255, 64), "fog", severity, 3)
    assert out.max() == 255  # where the cloud is 1
    assert out.min() == int(255 / (1 + strength))  # where it is 0


def test_frost_on_black_is_the_texture_and_is_drawn_the_same_every_time() -> None:
    black = corrupt(_grey(0, 300), "frost", 1, 11).astype(float)
    rng = np.random.default_rng(11)
    texture = weather.draw_frost_texture(int(rng.integers(5)))
    top, left = int(rng.integers(512)), int(rng.integers(512))
    wrapped = np.roll(texture, (-top, -left), axis=(0, 1))[:300, :300]
    assert np.abs(black - 0.4 * wrapped).max() <= 1
    larger = corrupt(_grey(0, 600), "frost", 1, 11)  # larger than a texture, which repeats
    np.testing.assert_array_equal(larger[:80, :80], larger[512:592, 512:592])


def test_frost_has_the_colours_and_the_contrast_of_the_authors_photographs() -> None:
    for index, (mean, deviation) in enumerate(weather.FROST_COLOURS):
        texture = weather.draw_frost_texture(index)
        np.testing.assert_allclose(texture.mean((0, 1)), mean, atol=0.5)
        np.testing.assert_allclose(texture.std((0, 1)), deviation, atol=1)


def test_frost_is_as_strong_as_the_authors() -> None:
    """Root mean square change of two photographs ; the authors' textures give the figures below."""
    photographs = [np.asarray(imagenet_c_crop(PIL.Image.fromarray(i))) for i in load_sample_images().images]
    theirs = (59.1, 76.0, 86.2, 85.4, 88.5)
    for severity, expected in zip(SEVERITIES, theirs, strict=True):
        squares = [
            np.square(corrupt(photo, "frost", severity, seed).astype(float) - photo).mean()
            for photo in photographs
            for seed in range(40)
        ]
        assert np.sqrt(np.mean(squares)) == pytest.approx(expected, rel=0.1), severity


def test_frost_alone_has_another_version() -> None:
    assert {name: pixel_version(name) for name in ALL_CORRUPTIONS if pixel_version(name) != 1} == {"frost": 2}


def test_snow_only_lightens(photos: dict) -> None:
    for severity in SEVERITIES:
        out = corrupt(photos[64][0], "snow", severity, 3)
        assert (out.astype(int) >= photos[64][0].astype(int) - 1).all()


def test_mud_covers_and_water_lightens(photos: dict) -> None:
    photo = photos[224][0]
    for severity in (1, 2, 3):
        assert (corrupt(photo, "spatter", severity, 3) >= photo.astype(int) - 1).all()
    # Mud covers by at least 0.8 or not at all: 255·0.2 + 63·0.8 = 101.4 is the most red under it.
    mud = corrupt(_grey(255, 224), "spatter", 5, 3)
    covered = mud[..., 0] <= 102
    assert (mud[~covered] == 255).all()
    assert 0.02 < covered.mean() < 0.6
    assert (mud[covered].astype(int).min(axis=0) >= np.array((63, 42, 20)) - 1).all()


def test_canny_outlines_a_square() -> None:
    levels = np.zeros((32, 32), np.uint8)
    levels[8:24, 8:24] = 200
    outline = splashes.detect_edges(levels, 50, 150)
    rows, columns = np.nonzero(outline)
    assert (np.abs(np.maximum(np.abs(rows - 15.5), np.abs(columns - 15.5)) - 8) <= 1).all()
    assert ndimage.label(outline, np.ones((3, 3)))[1] == 1
    assert not splashes.detect_edges(np.full((9, 9), 3, np.uint8), 50, 150).any()


def test_equalisation_spreads_equal_shares_evenly() -> None:
    levels = np.repeat(np.array([7, 8, 100, 101], np.uint8), 4).reshape(4, 4)
    np.testing.assert_array_equal(np.unique(splashes.equalise_histogram(levels)), (0, 85, 170, 255))
    assert (splashes.equalise_histogram(np.full((4, 4), 9, np.uint8)) == 9).all()


def test_what_differs_from_the_original_is_declared() -> None:
    assert {"frost", "snow", "motion_blur"} <= set(DEVIATIONS) <= set(ALL_CORRUPTIONS)


def test_unknown_names_get_a_clear_line() -> None:
    image = _grey(3, 8)
    with pytest.raises(OptionError, match=r"'gausian_noise'.*'gaussian_noise'"):
        corrupt(image, "gausian_noise", 1, 0)
    with pytest.raises(OptionError, match=r"1 to 5, not 0"):
        corrupt(image, "fog", 0, 0)
    with pytest.raises(OptionError, match=r"'cifer'.*'cifar'"):
        corrupt(image, "fog", 1, 0, "cifer")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(7, 20, 3), (20, 20), (20, 20, 4)])
def test_unsuitable_images_get_a_clear_line(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="uint8 image H×W×3"):
        corrupt(np.zeros(shape, np.uint8), "fog", 1, 0)
    with pytest.raises(DataError, match="float64"):
        corrupt(np.zeros((8, 8, 3)), "fog", 1, 0)
