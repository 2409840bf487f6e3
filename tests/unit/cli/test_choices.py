
import pytest

from seamline.algorithm import Algorithm
from seamline.cli.choices import Blending, Choices, Inversion, Landmarks, Pivots, Preset, blending
from seamline.errors import InvalidInput
from seamline.v1 import aligner_pb2, inverter_pb2, media_pb2, stitcher_pb2


@pytest.mark.parametrize(
    ("choice", "value"),
    [
        (Algorithm.DEFAULT, media_pb2.ALGORITHM_DEFAULT),
        (Algorithm.STIT, media_pb2.ALGORITHM_STIT),
        (Landmarks.BUNDLE, aligner_pb2.LANDMARK_BACKEND_BUNDLE),
        (Landmarks.DLIB, aligner_pb2.LANDMARK_BACKEND_DLIB),
        (Landmarks.FACE_ALIGNMENT, aligner_pb2.LANDMARK_BACKEND_FACE_ALIGNMENT),
        (Inversion.PTI, inverter_pb2.INVERSION_METHOD_PTI),
        (Inversion.HYPERSTYLE, inverter_pb2.INVERSION_METHOD_HYPERSTYLE),
        (Inversion.E4E, inverter_pb2.INVERSION_METHOD_ENCODER),
        (Pivots.E4E, inverter_pb2.PIVOT_METHOD_ENCODER),
        (Pivots.W_OPT, inverter_pb2.PIVOT_METHOD_OPTIMIZED),
        (Blending.STITCH, stitcher_pb2.BLEND_STITCH),
        (Blending.POISSON, stitcher_pb2.BLEND_POISSON),
        (Blending.FEATHER, stitcher_pb2.BLEND_FEATHER),
        (Blending.PASTE, stitcher_pb2.BLEND_PASTE),
    ],
)
def test_every_choice_has_its_message(choice, value):
    assert choice.to_proto() == value


def test_what_nobody_chose_is_left_to_the_services():
    choices = Choices()
    assert [field.name for field, _ in choices.align_options().ListFields()] == ["landmarks"]
    assert [field.name for field, _ in choices.invert_options().ListFields()] == ["method", "pivots", "algorithm"]
    assert [field.name for field, _ in choices.stitch_options().ListFields()] == ["blend", "algorithm"]


def test_locality_is_asked_for():
    assert Choices(locality=True).invert_options().locality


def test_an_animation_is_not_smoothed_and_takes_three_times_the_passes():
    choices = Choices(preset=Preset.ANIMATION)
    align = choices.align_options()
    assert align.HasField("center_sigma")
    assert align.center_sigma == 0
    assert choices.invert_options().pass_factor == 3
    assert not Choices().invert_options().HasField("pass_factor")


def test_both_tuning_stages_are_told_the_algorithm():
    choices = Choices(algorithm=Algorithm.STIT)
    assert choices.invert_options().algorithm == media_pb2.ALGORITHM_STIT
    assert choices.stitch_options().algorithm == media_pb2.ALGORITHM_STIT


def test_the_figures_name_what_was_chosen():
    choices = Choices(inversion=Inversion.E4E, pivots=Pivots.W_OPT, blend=Blending.POISSON)
    assert choices.names() == {"algorithm": "default", "inversion": "e4e", "pivots": "w-opt", "blend": "poisson"}


def test_without_stitching_the_edit_is_feathered():
    assert blending(Blending.STITCH, no_stitching=True) is Blending.FEATHER
    assert blending(Blending.FEATHER, no_stitching=True) is Blending.FEATHER
    assert blending(Blending.POISSON, no_stitching=False) is Blending.POISSON
    with pytest.raises(InvalidInput, match="leave --no-stitching out"):
        blending(Blending.POISSON, no_stitching=True)
