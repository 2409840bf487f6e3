import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from seamline_aligner.align import AlignOptions as DomainOptions
from seamline_aligner.servicer import check_request, options_of

from seamline.errors import InvalidInput
from seamline.v1.aligner_pb2 import LANDMARK_BACKEND_DLIB, AlignOptions, AlignRequest
from seamline.v1.media_pb2 import ArtifactRef
from tests.fakes.bundle import tiny_bundle

VIDEO = ArtifactRef(uri="file:///store/film.mp4", sha256="ab" * 32)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (AlignRequest(), "video.uri"),
        (AlignRequest(video=ArtifactRef(sha256="ab" * 32)), "video.uri"),
        (AlignRequest(video=ArtifactRef(uri="https://host/film.mp4?secret", sha256="ab" * 32)), "video.uri"),
        (AlignRequest(video=ArtifactRef(uri=VIDEO.uri)), "video.sha256"),
        (AlignRequest(video=ArtifactRef(uri=VIDEO.uri, sha256="AB" * 32)), "video.sha256"),
        (AlignRequest(video=ArtifactRef(uri=VIDEO.uri, sha256="ab" * 31)), "video.sha256"),
        (AlignRequest(video=VIDEO, options=AlignOptions(center_sigma=-0.1)), "options.center_sigma"),
        (AlignRequest(video=VIDEO, options=AlignOptions(axes_sigma=math.nan)), "options.axes_sigma"),
        (AlignRequest(video=VIDEO, options=AlignOptions(axes_sigma=math.inf)), "options.axes_sigma"),
        (AlignRequest(video=VIDEO, options=AlignOptions(axes_sigma=1e6)), "options.axes_sigma"),
        (AlignRequest(video=VIDEO, options=AlignOptions(landmarks=99)), "options.landmarks"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_request_names_its_field(request_: AlignRequest, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_request(request_)
    assert caught.value.field == field
    assert field in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_right_request_passes() -> None:
    check_request(AlignRequest(video=VIDEO))
    check_request(AlignRequest(video=VIDEO, options=AlignOptions(center_sigma=0.0, axes_sigma=5.0)))


def test_what_the_request_leaves_open_is_filled_in(tmp_path: Path) -> None:
    bundle: Any = tiny_bundle(tmp_path)
    assert options_of(AlignOptions(), bundle) == DomainOptions(landmarks="bundle")
    given = AlignOptions(landmarks=LANDMARK_BACKEND_DLIB, center_sigma=0.0, max_gap_frames=0)
    expected = DomainOptions(landmarks="dlib", center_sigma=0.0, max_gap_frames=0)
    assert options_of(given, bundle) == expected
    bare: Any = SimpleNamespace(manifest=SimpleNamespace(networks={"generator": None}))
    assert options_of(AlignOptions(), bare) == DomainOptions(landmarks="dlib")
