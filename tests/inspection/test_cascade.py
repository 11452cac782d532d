"""The picture of a cascade shows the numbers of its report."""

import numpy as np
import pytest

from skdistill.inspection import CascadeDisplay
from tests.cascade.conftest import cascade, data  # noqa: F401

pyplot = pytest.importorskip("matplotlib.pyplot")


def test_the_bars_are_the_losses_and_the_curves_the_recall(cascade, data):  # noqa: F811
    display = CascadeDisplay.from_estimator(cascade, data.queries)
    report = display.report
    heights = [bar.get_height() for bar in display.axes_[0].patches]
    assert heights == pytest.approx([*(stage.lost for stage in report.stages), report.recall])
    bottoms = [bar.get_y() for bar in display.axes_[0].patches[:3]]
    assert bottoms == pytest.approx([stage.recall for stage in report.stages])
    curves = display.axes_[1].lines
    for line, stage in zip(curves, report.stages, strict=True):
        np.testing.assert_allclose(line.get_ydata(), stage.curve)
        assert line.get_markevery() == [stage.size - 1]
    assert len({(line.get_linestyle(), line.get_marker()) for line in curves}) == 3
    names = [label.get_text() for label in display.axes_[0].get_xticklabels()]
    assert names == ["retrieve\n40", "prerank\n15", "rank\n5", "returned\n5"]
    pyplot.close(display.figure_)


def test_it_draws_where_it_is_told(cascade, data):  # noqa: F811
    figure, axes = pyplot.subplots(2)
    display = CascadeDisplay.from_estimator(cascade, data.queries[:20], axes=axes)
    assert display.figure_ is figure
    with pytest.raises(ValueError, match="two Axes, got 1"):
        display.plot(axes=axes[0])
    pyplot.close(figure)
