"""Plots: the files that are drawn, and what is in them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fcrn_ros.training.evaluation.evaluate import Evaluation
from fcrn_ros.training.evaluation.metrics import NAMES
from fcrn_ros.training.evaluation.shots import Shot

pytest.importorskip('matplotlib', reason='needs matplotlib')

from matplotlib.figure import Figure  # noqa: E402

from fcrn_ros.training.evaluation import plots  # noqa: E402
from fcrn_ros.training.evaluation.plots import draw, draw_confidence, draw_frames, draw_range  # noqa: E402


def _shot(name, absrel):
    recorded = np.linspace(1, 4, 30 * 40, dtype=np.float32).reshape(30, 40)
    predicted = recorded * np.float32(1 + absrel)
    recorded[:5] = np.nan
    predicted[-1] = np.inf
    return Shot(name, absrel, np.full((30, 40, 3), 200, np.uint8), recorded, predicted)


def _evaluation(model='first', absrel=0.2):
    measures = dict.fromkeys(NAMES, 0.5) | {'absrel': absrel}
    variants = {'focal': {'pooled': measures, 'per_image': measures}}
    bands = [
        {'from': 1.0, 'to': 2.0, 'share': 0.75, **measures},
        {'from': 10.0, 'to': None, 'share': 0.25, **measures, 'absrel': absrel + 0.1},
    ]
    confidence = [
        {'from': 0.2, 'share': 0.4, 'predicted': 0.3, 'right': 0.35, 'absrel': 0.4},
        {'from': 0.8, 'share': 0.6, 'predicted': 0.9, 'right': 0.85, 'absrel': 0.1},
    ]
    shots = (_shot('fine', 0.1),), (_shot('bad', 0.6),)
    curve = {'ause': 0.25, 'blind': 0.5, 'curve': [1, 0.75], 'oracle': [1, 0.25]}
    sparsification = {'removed': [0, 0.5], 'absrel': curve, 'rmse': curve}
    return Evaluation(
        model,
        2,
        variants,
        'focal',
        bands,
        confidence,
        {},
        'native',
        1.0,
        {},
        *shots,
        sparsification,
    )


@pytest.fixture
def figures(monkeypatch):
    """Return the figures that are saved, in order; the files are written all the same."""
    found = []
    saved = plots._saved
    monkeypatch.setattr(plots, '_saved', lambda f, path: found.append(f) or saved(f, path))
    return found


def test_files_of_two_models(tmp_path):
    """A model's name may be a path, which is no file name."""
    models = [_evaluation('run/a'), _evaluation('b')]
    paths = draw(models, tmp_path / 'new' / 'plots')
    names = ['range.png', 'confidence.png', 'frames_run_a.png', 'frames_b.png']
    assert [p.name for p in paths] == names
    for path in paths:
        image = cv2.imread(str(path))
        assert min(image.shape[:2]) > 200 and len(np.unique(image)) > 20


def test_model_without_confidence_has_no_such_plot(tmp_path):
    paths = draw([replace(_evaluation(), confidence=[])], tmp_path)
    assert [p.name for p in paths] == ['range.png', 'frames_first.png']


def test_range_has_a_line_per_model_in_percent(figures, tmp_path):
    draw_range([_evaluation(), _evaluation('second', 0.15)], tmp_path / 'r.png')
    error, share = figures[0].axes
    lines = {line.get_label(): list(line.get_ydata()) for line in error.lines}
    assert lines == {
        'first, 20.0 % over all': pytest.approx([20, 30]),
        'second, 15.0 % over all': pytest.approx([15, 25]),
    }
    assert [bar.get_height() for bar in share.patches] == [75, 25]
    assert [t.get_text() for t in share.get_xticklabels()] == ['1-2', '10+']


def test_range_leaves_a_gap_where_a_model_has_no_band(figures, tmp_path):
    short = replace(_evaluation('short'), bands=_evaluation().bands[1:])
    draw_range([short, _evaluation()], tmp_path / 'r.png')
    line, whole = figures[0].axes[0].lines
    assert list(line.get_xdata()) == [1]
    assert list(whole.get_xdata()) == [0, 1]


def test_confidence_is_drawn_against_what_is_right(figures, tmp_path):
    draw_confidence([_evaluation()], tmp_path / 'c.png')
    right, error, _ = figures[0].axes
    assert right.lines[1].get_xydata().tolist() == [[0.3, 0.35], [0.9, 0.85]]
    assert error.lines[0].get_xydata() == pytest.approx(np.array([[0.3, 40], [0.9, 10]]))


def test_sparsification_is_drawn_beside_its_oracle(figures, tmp_path):
    blind = replace(_evaluation('blind'), confidence=[], sparsification={})
    draw_confidence([_evaluation(), blind], tmp_path / 'c.png')
    curve, oracle = figures[0].axes[2].lines
    assert curve.get_xydata().tolist() == [[0, 1], [50, 0.75]]
    assert oracle.get_xydata().tolist() == [[0, 1], [50, 0.25]]
    assert curve.get_label() == 'first, AUSE 0.25'


def test_frames_have_names_errors_and_one_scale_for_both_depths(figures, tmp_path):
    draw_frames(_evaluation(), tmp_path / 'f.png')
    panels = figures[0].axes[:8]
    titles = [panel.get_title(loc='left') for panel in panels]
    assert titles[:4] == ['best: fine', 'recorded', 'predicted', 'absrel 10.0 %']
    assert titles[4:] == ['worst: bad', 'recorded', 'predicted', 'absrel 60.0 %']
    _, recorded, predicted, error = (panel.images[0] for panel in panels[4:])
    assert recorded.get_clim() == predicted.get_clim()
    assert error.get_clim() == (-50, 50)
    assert np.ma.getmaskarray(predicted.get_array())[-1].all()
    assert np.nanmax(error.get_array()[:-1]) == pytest.approx(60)


def test_frame_whose_recorded_depth_was_lost_in_shrinking(figures, tmp_path):
    """Of a laser's few points a small copy may keep none."""
    shot = replace(_shot('sparse', 0.1), recorded=np.full((30, 40), np.nan, np.float32))
    draw_frames(replace(_evaluation(), best=(shot,), worst=()), tmp_path / 'f.png')
    assert all(np.isfinite(figures[0].axes[2].images[0].get_clim()))


def test_figures_are_not_pyplot_s(figures, tmp_path):
    """They need no display, and nobody has to close them."""
    draw_range([_evaluation()], tmp_path / 'r.png')
    assert isinstance(figures[0], Figure)
    assert figures[0].canvas.manager is None
    assert type(figures[0].canvas).__name__ == 'FigureCanvasAgg'
