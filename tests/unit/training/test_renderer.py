import importlib

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("numba", reason="the renderer needs the `training` extra")

from training.renderer import captions, dataset, paint
from training.renderer.camera import AlignedCamera, FreeCamera, aligned_axes
from training.renderer.parameters import (
    ATTRIBUTES,
    HIGHS,
    INDEX,
    LOWS,
    NAMES,
    PARAMETERS,
    group_indices,
    sample,
    standardise,
    unstandardise,
)  # fmt: skip
from training.renderer.presenter import presenter, studio
from training.renderer.render import Rendering, render

SIZE = 128
EYES = {paint.L_EYE, paint.R_EYE}
LIPS = {paint.U_LIP, paint.L_LIP, paint.INNER_MOUTH}


def face(**values: float) -> np.ndarray:
    """A frontal face that wears nothing and has no beard, with the given raw values."""
    raw = unstandardise(np.zeros(len(NAMES), np.float32))
    plain = {
        "glasses": 0.0,
        "hat": 0.0,
        "earrings": 0.0,
        "beard": 0.0,
        "yaw": 0.0,
        "pitch": 0.0,
        "smile": 0.0,
        "mouth_open": 0.0,
        "eyes_open": 1.0,
    }
    for name, value in (plain | values).items():
        raw[INDEX[name]] = value
    return raw


def aligned(**values: float) -> Rendering:
    return render(face(**values), AlignedCamera(), SIZE)


def classes_near(rendering: Rendering, point: np.ndarray, radius: int = 1) -> set[int]:
    column, row = np.floor(point).astype(int)
    window = rendering.parsing[row - radius : row + radius + 1, column - radius : column + radius + 1]
    return set(window.ravel().tolist())


def test_schema_names_are_unique_and_attributes_are_among_them() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert set(ATTRIBUTES) <= set(NAMES)
    assert (LOWS < HIGHS).all()
    groups = ("identity", "attribute", "expression", "pose", "light", "scene")
    assert sum(len(group_indices(g)) for g in groups) == len(NAMES)


def test_samples_stay_in_range_and_their_scores_are_standard_and_uncorrelated() -> None:
    raw = sample(np.random.default_rng(3), 20000)
    assert (raw >= LOWS).all()
    assert (raw <= HIGHS).all()
    drawn = [i for i, p in enumerate(PARAMETERS) if p.fixed is None]
    z = standardise(raw)[:, drawn]
    np.testing.assert_allclose(z.mean(0), 0.0, atol=0.03)
    np.testing.assert_allclose(z.std(0), 1.0, atol=0.03)
    assert np.abs(np.corrcoef(z.T) - np.eye(len(drawn))).max() < 0.04


def test_scores_round_trip() -> None:
    raw = sample(np.random.default_rng(0), 50)
    np.testing.assert_allclose(unstandardise(standardise(raw)), raw, atol=1e-5)


def test_glasses_are_mostly_absent_or_fully_there() -> None:
    glasses = sample(np.random.default_rng(0), 4000)[:, INDEX["glasses"]]
    assert 0.45 < (glasses == 0.0).mean() < 0.55
    assert 0.30 < (glasses == 1.0).mean() < 0.40


def test_same_parameters_give_the_same_bytes() -> None:
    params = sample(np.random.default_rng(1), 1)[0]
    first, second = (render(params, AlignedCamera(), SIZE) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.parsing, second.parsing)
    np.testing.assert_array_equal(first.landmarks, second.landmarks)


def test_wrong_parameter_count_is_named() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(60,\)"):
        render(np.zeros(3, np.float32), AlignedCamera(), SIZE)


@pytest.mark.parametrize("yaw", [-20.0, 0.0, 20.0])
def test_open_eyes_contain_their_landmarks_centres(yaw: float) -> None:
    r = aligned(yaw=yaw)
    assert classes_near(r, r.landmarks[36:42].mean(0), 0) == {paint.L_EYE}
    assert classes_near(r, r.landmarks[42:48].mean(0), 0) == {paint.R_EYE}
    for lid in (36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47):
        assert classes_near(r, r.landmarks[lid], 2) & EYES


def test_shut_eyes_close_the_landmarks_and_the_parsing() -> None:
    r, wide = aligned(eyes_open=0.0), aligned(eyes_open=1.0)
    assert np.isin(r.parsing, list(EYES)).sum() < 0.1 * np.isin(wide.parsing, list(EYES)).sum()
    assert np.ptp(r.landmarks[36:42, 1]) < 0.4 * np.ptp(wide.landmarks[36:42, 1])


@pytest.mark.parametrize("values", [{}, {"smile": 1.0}, {"mouth_open": 1.0}, {"pucker": 1.0}])
def test_mouth_landmarks_lie_on_the_lips(values: dict[str, float]) -> None:
    r = aligned(**values)
    for i in range(48, 68):
        assert classes_near(r, r.landmarks[i], 2) & LIPS, i


def test_an_open_mouth_shows_its_inside_between_the_inner_landmarks() -> None:
    r = aligned(mouth_open=1.0)
    assert classes_near(r, (r.landmarks[62] + r.landmarks[66]) / 2, 0) == {paint.INNER_MOUTH}
    assert paint.INNER_MOUTH not in aligned().parsing


@pytest.mark.parametrize("yaw", [-20.0, 0.0, 20.0])
def test_jaw_landmarks_follow_the_outline_of_the_face(yaw: float) -> None:
    r = aligned(hair_length=0.0, yaw=yaw)
    inside = np.isin(r.parsing, [paint.SKIN, paint.NOSE, paint.EYE_G])
    for i in range(3, 14):
        column, row = np.floor(r.landmarks[i]).astype(int)
        window = inside[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4]
        assert window.any(), i
        assert not window.all(), i


def test_smile_raises_and_spreads_the_mouth_corners() -> None:
    camera = FreeCamera(width=SIZE, height=SIZE, x=64, y=50, scale=40)
    calm, happy = (render(face(smile=s), camera).landmarks for s in (0.0, 1.0))
    assert happy[48, 1] < calm[48, 1] - 1.5
    assert happy[54, 1] < calm[54, 1] - 1.5
    assert happy[54, 0] - happy[48, 0] > 1.2 * (calm[54, 0] - calm[48, 0])


def test_what_is_worn_hair_and_beard_change_what_they_name() -> None:
    def count(label: int, **values: float) -> int:
        return int((aligned(**values).parsing == label).sum())

    assert count(paint.EYE_G, glasses=0.0) == 0
    assert count(paint.EYE_G, glasses=1.0) > 200
    assert count(paint.HAIR, hair_length=0.0) == 0
    assert count(paint.HAIR, hair_length=1.0) > 1.3 * count(paint.HAIR, hair_length=0.3) > 0
    assert count(paint.HAT, hat=0.0) == count(paint.EAR_R, earrings=0.0) == 0
    assert count(paint.HAT, hat=1.0) > 1500
    assert count(paint.HAIR, hat=1.0) < 0.5 * count(paint.HAIR)
    assert count(paint.EAR_R, earrings=1.0, hair_length=0.3) > 40
    row, column = 104, 64  # the chin
    shaven, bearded = (aligned(beard=b, skin_tone=0.9, hair_colour=0.0).image for b in (0.0, 1.0))
    assert bearded[row, column].mean() < 0.6 * shaven[row, column].mean()


def test_nothing_jumps_between_close_parameters() -> None:
    rng = np.random.default_rng(5)
    z = standardise(sample(rng, 2))
    step = unstandardise(z[:1] + np.linspace(0.0, 0.004, 3)[:, None].astype(np.float32) * (z[1] - z[0]))
    a, b, c = (render(p, AlignedCamera(), SIZE).image.astype(float) for p in step)
    assert np.abs(a - b).mean() < 0.5
    assert np.abs(b - c).mean() < 0.5


def test_aligned_camera_is_the_crop_of_the_free_camera() -> None:
    params = face(yaw=12.0, pitch=-6.0, smile=0.6, glasses=1.0)
    frame = render(params, FreeCamera(width=640, height=480, x=330, y=215, scale=120, roll=11.0))
    c, x, y = aligned_axes(frame.landmarks.astype(float))
    quad = np.concatenate([c - x - y, c - x + y, c + x + y, c + x - y])
    crop = Image.fromarray(frame.image).transform(
        (SIZE * 2, SIZE * 2), Image.Transform.QUAD, quad.tolist(), Image.Resampling.BILINEAR
    )
    direct = render(params, AlignedCamera(), SIZE * 2)
    corner = c - x - y
    axes = np.stack([2 * x, 2 * y], axis=1) / (2 * SIZE)
    moved = (frame.landmarks - corner) @ np.linalg.inv(axes).T
    np.testing.assert_allclose(moved, direct.landmarks, atol=0.05)
    difference = np.abs(np.asarray(crop, float) - direct.image)
    assert difference.mean() < 2.0
    shifted = np.abs(np.roll(np.asarray(crop, float), 2, axis=1) - direct.image)
    assert difference.mean() < 0.5 * shifted.mean()


def test_margin_widens_the_crop() -> None:
    tight = render(face(), AlignedCamera(), SIZE).landmarks
    loose = render(face(), AlignedCamera(margin=0.5), SIZE).landmarks
    np.testing.assert_allclose((loose - SIZE / 2) * 1.5, tight - SIZE / 2, atol=0.01)


def test_background_picture_shows_where_no_bust_is() -> None:
    camera = FreeCamera(width=96, height=64, x=48, y=28, scale=18)
    room = studio(4, 96, 64)
    r = render(face(), camera, background=room)
    behind = r.parsing == paint.BACKGROUND
    assert behind.any()
    assert np.abs(r.image[0, 0].astype(int) - room[0, 0]).max() <= 12
    with pytest.raises(ValueError, match="frame"):
        render(face(), camera, background=room[:10])


def test_shards_do_not_depend_on_each_other_and_resume(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(dataset, "SHARD", 2)
    config = dataset.DatasetConfig(count=3, seed=9, size=32)
    whole = list(dataset.write_dataset(config, tmp_path / "a"))
    alone = dataset.write_shard(config, tmp_path / "b", 1)
    assert [p.name for p in whole] == ["shard-000", "shard-001"]
    for name in dataset.ARRAYS:
        assert (alone / f"{name}.npy").read_bytes() == (whole[1] / f"{name}.npy").read_bytes()
    stamp = (whole[0] / "images.npy").stat().st_mtime_ns
    list(dataset.write_dataset(config, tmp_path / "a"))
    assert (whole[0] / "images.npy").stat().st_mtime_ns == stamp
    shards = list(dataset.open_dataset(tmp_path / "a"))
    assert [len(s["params"]) for s in shards] == [2, 1]
    with pytest.raises(ValueError, match="another set"):
        list(dataset.write_dataset(dataset.DatasetConfig(count=3, seed=8, size=32), tmp_path / "a"))


def test_identities_share_their_group_and_nothing_else() -> None:
    config = dataset.DatasetConfig(count=6, seed=2, size=16, per_identity=3)
    params = np.stack([dataset.render_sample(config, i)[0] for i in range(6)])
    identity = group_indices("identity")
    assert (params[0, identity] == params[2, identity]).all()
    assert (params[0, identity] != params[3, identity]).mean() > 0.9
    rest = [i for i, p in enumerate(PARAMETERS) if p.group == "light"]
    assert (params[0, rest] != params[1, rest]).all()


def test_free_framing_turns_and_moves_the_face() -> None:
    config = dataset.DatasetConfig(count=8, seed=2, size=64, framing="free")
    marks = np.stack([dataset.render_sample(config, i)[1].landmarks for i in range(8)])
    assert marks.min() > -20
    assert marks.max() < 84
    across = marks[:, 45] - marks[:, 36]
    assert np.ptp(np.degrees(np.arctan2(across[:, 1], across[:, 0]))) > 15


def test_presenter_moves_smoothly_speaks_and_blinks() -> None:
    moments = list(presenter(1, 96, fps=24.0))
    params = np.stack([m.params for m in moments])
    again = np.stack([m.params for m in presenter(1, 96, fps=24.0)])
    np.testing.assert_array_equal(params, again)
    identity = group_indices("identity")
    assert (params[:, identity] == params[0, identity]).all()
    assert np.abs(np.diff(params[:, INDEX["yaw"]])).max() < 2.5
    mouth, eyes = params[:, INDEX["mouth_open"]], params[:, INDEX["eyes_open"]]
    assert ((mouth[1:-1] > mouth[:-2]) & (mouth[1:-1] >= mouth[2:]) & (mouth[1:-1] > 0.2)).sum() >= 8
    assert eyes.min() < 0.2
    assert (eyes > 0.8).mean() > 0.7


def test_captions_say_only_what_is_true() -> None:
    rng = np.random.default_rng(0)
    texts = {
        captions.caption(face(glasses=1.0, beard=0.0, hair_length=0.0, gender=1.0, smile=1.0), rng) for _ in range(40)
    }
    assert all(" man" in t and "beard" not in t and "hair" not in t for t in texts)
    assert any("glasses" in t for t in texts)
    assert any("smiling" in t for t in texts)
    assert len(texts) > 5


def test_sheet_has_a_row_per_attribute() -> None:
    sheet = importlib.import_module("training.renderer.sheet")
    assert sheet.contact_sheet(0, 24, 1, ["smile", "age"]).shape == (5 * 24, 7 * 24, 3)


def test_a_hat_leaves_the_face_free_and_takes_the_colour_of_the_clothes() -> None:
    bare, covered = aligned(hat=0.0), aligned(hat=1.0)
    np.testing.assert_array_equal(bare.landmarks, covered.landmarks)
    brows = bare.landmarks[17:27]
    assert not any(paint.HAT in classes_near(covered, point, 1) for point in brows)
    red, blue = (aligned(hat=1.0, cloth_a=a, cloth_b=b).image for a, b in ((0.06, 0.06), (0.0, -0.06)))
    where = covered.parsing == paint.HAT
    assert red[where].mean(0)[0] > 1.2 * blue[where].mean(0)[0]


def test_earrings_hang_from_both_lobes() -> None:
    r = aligned(earrings=1.0, hair_length=0.3)
    rows, columns = np.nonzero(r.parsing == paint.EAR_R)
    left, right = columns < SIZE / 2, columns >= SIZE / 2
    assert min(left.sum(), right.sum()) > 15
    assert rows.min() > r.landmarks[0, 1]
    assert columns[left].max() < r.landmarks[2, 0]
    assert columns[right].min() > r.landmarks[14, 0]
