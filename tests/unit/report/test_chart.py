import pytest

from seamline.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, line_chart


def _points(line):
    return [[tuple(map(float, point.split(","))) for point in run.split()] for run in line.runs]


def test_points_span_the_plot_and_grow_upwards():
    chart = line_chart("t", [10, 11, 12], {"a": [0.0, 1.0, 2.0]})
    ((first, middle, last),) = _points(chart.lines[0])
    assert first[0] == LEFT
    assert last[0] == WIDTH - RIGHT
    assert TOP <= last[1] < middle[1] < first[1] <= HEIGHT - BOTTOM


def test_a_missing_frame_or_value_breaks_the_line():
    chart = line_chart("t", [0, 1, 2, 5, 6], {"a": [1.0, None, 1.0, 1.0, 2.0]})
    assert [len(run) for run in _points(chart.lines[0])] == [
        2,
        2,
        2,
    ]  # a lone frame is a dot: the point twice
    first, second, _ = _points(chart.lines[0])
    assert first[0] == first[1]
    assert second[0] == second[1]


def test_the_reference_is_on_the_axis_even_when_no_value_comes_near():
    chart = line_chart("t", [0, 1], {"a": [0.2, 0.3]}, reference=1.0)
    assert chart.reference is not None
    assert TOP <= chart.reference <= HEIGHT - BOTTOM
    (run,) = _points(chart.lines[0])
    assert all(y > chart.reference for _, y in run)


def test_the_floor_is_the_axis_unless_a_value_is_below_it():
    assert line_chart("t", [0, 1], {"a": [3.0, 4.0]}, floor_at=0.0).y_ticks[0].label == "0"
    assert float(line_chart("t", [0, 1], {"a": [-3.0, 4.0]}, floor_at=0.0).y_ticks[0].label) < 0


@pytest.mark.parametrize(
    "values",
    [[1.0, 1.0], [0.0, 0.0], [0.9991, 0.9994], [1e-5, 3e-5], [100.0, 2000.0], [-2.0, 2.0], [None, None]],
)
def test_ticks_are_distinct_and_inside(values):
    chart = line_chart("t", [0, 1], {"a": values})
    labels = [tick.label for tick in chart.y_ticks]
    assert len(labels) >= 2
    assert len(set(labels)) == len(labels)
    assert all(TOP <= tick.at <= HEIGHT - BOTTOM for tick in chart.y_ticks)


@pytest.mark.parametrize("frames", [[7], [0, 299], list(range(24)), [1000, 1001, 1002]])
def test_frame_ticks_are_frames_of_the_video(frames):
    labels = [int(tick.label) for tick in line_chart("t", frames, {"a": [1.0] * len(frames)}).x_ticks]
    assert labels == sorted(set(labels))
    assert all(min(frames) <= label <= max(frames) for label in labels)
    assert 1 <= len(labels) <= 8
