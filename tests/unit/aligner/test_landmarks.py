import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from seamline_aligner.landmarks import FAN_KINDS, OWN_KINDS, open_backend
from seamline_aligner.landmarks.backend import grown, moved, overlap
from seamline_aligner.landmarks.bundle_backend import BundleBackend
from torch import Tensor

from seamline.bundles import Bundle, load_bundle
from seamline.errors import Precondition
from seamline.triton.server import TritonServer
from tests.fakes.bundle import tiny_bundle
from tests.fakes.triton_server import serving


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


class BrightestCellDetector:
    """A detector network that sees one face, 16 pixels wide and 24 high, at a bright enough cell."""

    least = 0.0

    def infer(self, *inputs: Tensor) -> Tensor:
        cells = torch.nn.functional.avg_pool2d(inputs[0].mean(1, keepdim=True), 4)
        output = torch.empty(1, 5, *cells.shape[2:])
        output[:, 0] = torch.where(cells[:, 0] >= cells.max().clamp(min=self.least), 3.0, -9.0)
        output[:, 1:] = torch.tensor([8.0, 12.0, 8.0, 12.0])[None, :, None, None]
        return output


class BrightestPixelRegressor:
    """A landmark network that puts all points on the brightest pixel, but a few that keep the head level."""

    def infer(self, *inputs: Tensor) -> Tensor:
        brightness = inputs[0].mean(1)
        side = brightness.shape[-1]
        row, column = divmod(int(brightness.flatten().argmax()), side)
        points = torch.tensor([(column + 0.5) / side, (row + 0.5) / side]).repeat(1, 68, 1)
        points[:, 36:42, 0] -= 0.2
        points[:, 42:48, 0] += 0.2
        points[:, [48, 54], 1] += 0.2
        return points


def test_the_bundle_backend_maps_boxes_and_points_into_the_frame(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = {"detector": BrightestCellDetector(), "landmarks": BrightestPixelRegressor()}
    monkeypatch.setattr(bundle, "frozen", networks.__getitem__)
    frame = np.zeros((90, 160, 3), np.uint8)  # reduced to 64 by 36, and padded to 64 by 48
    frame[40:50, 110:120] = 200
    frame[45, 115] = 255
    backend = BundleBackend(bundle)
    (face,) = backend.detect(frame)
    scale = 160 / 64
    middle = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    assert middle == pytest.approx((115, 45), abs=scale * 2 + 0.5)
    assert face.box[2] - face.box[0] == pytest.approx(16 * scale)
    assert face.box[3] - face.box[1] == pytest.approx(24 * scale)
    assert face.score == pytest.approx(1 / (1 + np.exp(-3)))
    points = backend.landmarks(frame, face.box)
    # A pixel of the crop is 90 / 32 of the frame's.
    np.testing.assert_allclose(points[0], (115, 45), atol=90 / 32)


def test_random_networks_of_a_bundle_run_end_to_end(bundle: Bundle) -> None:
    backend = open_backend("bundle", bundle)
    frame = np.random.default_rng(0).integers(0, 256, (70, 50, 3), dtype=np.uint8)
    assert all(0 <= face.score <= 1 for face in backend.detect(frame))
    points = backend.landmarks(frame, (10.0, 10.0, 40.0, 40.0))
    assert points.shape == (68, 2)
    assert np.isfinite(points).all()


@pytest.mark.parametrize(
    ("name", "module", "remedy"),
    [
        ("dlib", "dlib", r"pip install seamline\[dlib\]"),
        ("dlib", "face_recognition_models", r"pip install seamline\[dlib\]"),
        ("face-alignment", "face_alignment", "pip install --no-deps face-alignment"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, name: str, module: str, remedy: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(bundle, "has", OWN_KINDS.__contains__)
    with pytest.raises(Precondition, match=remedy) as caught:
        open_backend(name, bundle)
    assert caught.value.field == "options.landmarks"


def test_missing_weights_are_named_with_the_place_they_belong(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = ModuleType("face_alignment")
    package.FaceAlignment = package.LandmarksType = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "face_alignment", package)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(bundle, "has", OWN_KINDS.__contains__)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "s3fd-619a316812.pth").touch()
    with pytest.raises(Precondition, match=f"needs 2DFAN4-11f355bf06.pth.tar in {tmp_path}/checkpoints"):
        open_backend("face-alignment", bundle)


def test_boxes() -> None:
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 2, 2), (2, 2, 3, 3)) == 0
    assert overlap((1, 1, 1, 1), (1, 1, 1, 1)) == 0
    assert grown((0, 0, 2, 4), 2) == (-1, -2, 3, 6)
    assert moved((0, 1, 2, 3), 2, 10, 20) == (10, 22, 14, 26)


@pytest.mark.parametrize("kinds", [("detector",), ("landmarks", "s3fd"), ("fan4",)])
def test_a_bundle_that_finds_no_faces_names_those_who_do(
    kinds: tuple[str, ...], bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "has", kinds.__contains__)
    with pytest.raises(Precondition, match="choose dlib or face-alignment") as caught:
        open_backend("bundle", bundle)
    assert caught.value.field == "options.landmarks"


class OneFaceDetector:
    """S3FD that sees one face twice, another, and much that is none."""

    def infer(self, *inputs: Tensor) -> Tensor:
        assert inputs[0].shape == (1, 3, 128, 256)
        found = [(40, 20, 80, 60, 0.9), (42, 21, 82, 62, 0.8), (0, 0, 20, 20, 0.3), (5, 50, 9, 60, 0.1)]
        return torch.tensor([found], dtype=torch.float32)


class BrightestCellHeatmaps:
    """2DFAN whose heatmaps are the picture, 68 times, but for the left eye's corner, which is at the upper left."""

    def infer(self, *inputs: Tensor) -> Tensor:
        assert inputs[0].shape == (2, 3, 256, 256)
        maps = torch.nn.functional.avg_pool2d(inputs[0].mean(1, keepdim=True), 4).repeat(1, 68, 1, 1)
        maps[0, 36, 2, 3] = maps[1, 45, 2, 60] = 9.0
        return maps


def test_the_bundles_s3fd_and_fan_need_no_package(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    networks = {"s3fd": OneFaceDetector(), "fan4": BrightestCellHeatmaps()}
    monkeypatch.setattr(bundle, "frozen", networks.__getitem__)
    monkeypatch.setattr(bundle, "has", networks.__contains__)
    frame = np.zeros((90, 160, 3), np.uint8)
    frame[34:37, 64:67] = 255
    for name in ("face-alignment", "bundle"):
        backend = open_backend(name, bundle)
        faces = backend.detect(frame)
        assert [face.box for face in faces] == [(39.5, 19.5, 79.5, 59.5), (-0.5, -0.5, 19.5, 19.5)]
        assert [face.score for face in faces] == pytest.approx([0.9, 0.3])
        points = backend.landmarks(frame, faces[0].box)
        side = 80 * 200 / 195
        corner = np.array([59.5, 39.5 - 0.12 * 40]) - side / 2
        np.testing.assert_allclose(points[30], (65, 35), atol=side / 64 + 0.5)
        # The mirrored picture has the eye's corner as the right eye's, and the mean of both has it in one place.
        np.testing.assert_allclose(points[36], corner + np.array([3.5, 2.5]) * side / 64, atol=side / 64 / 2)


@pytest.mark.parametrize("name", ["bundle", "face-alignment"])
def test_networks_on_a_server_find_what_they_find_here(name: str, bundle: Bundle) -> None:
    frame = np.random.default_rng(5).integers(0, 256, (90, 150, 3), np.uint8)
    with serving(bundle) as server:
        afar = load_bundle(bundle.name, bundle.directory.parent, server=TritonServer(server.endpoint))
        here, there = open_backend(name, bundle), open_backend(name, afar)
        assert {model for model, _ in server.batches} == set()
        wanted, found = (np.array([face.box for face in backend.detect(frame)]) for backend in (here, there))
        np.testing.assert_allclose(found, wanted, atol=1e-3)
        box = (40.0, 20.0, 100.0, 80.0)
        np.testing.assert_allclose(there.landmarks(frame, box), here.landmarks(frame, box), atol=1e-3)
    assert {model for model, _ in server.batches} == set(OWN_KINDS if name == "bundle" else FAN_KINDS)
