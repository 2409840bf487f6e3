import numpy as np
import pytest
import torch
from seamline_metrics.measure import Measures, TrackCrops, border_error, measure

SIZE = 32


class MeanColour:
    """Networks that answer with the mean colour of what they see, and note which were asked."""

    def __init__(self):
        self.asked = set()

    def infer(self, kind, *inputs):
        self.asked.add(kind)
        return inputs[0].mean(dim=(2, 3))


def _crops(count=11, *, source=100, naive=140, stitched=120, paste=255):
    def flat(level):
        return np.full((count, SIZE, SIZE, 3), level, np.uint8)

    masks = np.zeros((count, SIZE, SIZE, 3), np.uint8)
    masks[:, 8:24, 8:24, 1] = 255
    masks[..., 2] = paste
    return TrackCrops(
        frames=np.arange(count) + 5,
        source=flat(source),
        naive=flat(naive),
        stitched=flat(stitched),
        masks=masks,
    )


def test_measures_the_source_and_what_the_viewer_sees():
    networks = MeanColour()
    found = measure(_crops(paste=51), networks, {"identity", "attributes"})  # a fifth of the stitched crop
    np.testing.assert_allclose(found.source_attributes, 100 / 127.5 - 1, atol=1e-5)
    np.testing.assert_allclose(found.edited_attributes, 104 / 127.5 - 1, atol=1e-5)
    assert found.edited_identity.shape == (11, 3)
    assert found.frames.tolist() == list(range(5, 16))
    assert networks.asked == {"identity", "attributes"}
    assert found.source_geometry.shape == (11, 0)


def test_the_border_counts_and_nothing_else():
    source = np.full((2, SIZE, SIZE, 3), 100, np.uint8)
    edited = source.copy()
    edited[:, :4] = 255  # far from the border
    border = np.zeros((2, SIZE, SIZE), np.uint8)
    border[0, 10:12] = 255
    border[1, 10:12] = 128
    edited[:, 10] = 151  # half of the border differs by a fifth of the range
    np.testing.assert_allclose(border_error(edited, source, border), 0.1, atol=1e-6)


def test_a_frame_without_border_has_no_error():
    images = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    assert np.isnan(border_error(images, images, images[..., 0])).all()


def test_naive_and_stitched_are_measured_apart():
    found = measure(_crops(), MeanColour(), {"identity"})
    np.testing.assert_allclose(found.border_naive, 40 / 255, atol=1e-6)
    np.testing.assert_allclose(found.border_stitched, 20 / 255, atol=1e-6)


def test_measures_survive_storing_and_equal_ones_are_equal_bytes():
    found = measure(_crops(), MeanColour(), {"identity"})
    again = Measures.from_bytes(found.to_bytes())
    np.testing.assert_array_equal(again.border_naive, found.border_naive)
    np.testing.assert_array_equal(again.frames, found.frames)
    assert again.to_bytes() == found.to_bytes()


def test_stops_between_batches():
    class GoneError(Exception):
        pass

    calls = iter([None, GoneError()])

    def check():
        if error := next(calls):
            raise error

    with pytest.raises(GoneError):
        measure(_crops(count=20), MeanColour(), {"identity"}, check)


def test_landmarks_become_distances():
    class Landmarks(MeanColour):
        def infer(self, kind, *inputs):
            if kind == "landmarks":
                return torch.rand(len(inputs[0]), 68, 2)
            return super().infer(kind, *inputs)

    assert measure(_crops(), Landmarks(), {"identity", "landmarks"}).edited_geometry.shape == (11, 3)
