"""The rows as a table and as a plot."""

import cv2
import numpy as np
import pytest

from fcrn_ros.bench.engines import AS_THE_NODE
from fcrn_ros.bench.plot import plot
from fcrn_ros.bench.table import table
from fcrn_ros.bench.timing import row


def _network(backend, precision, form='fused', ms=10.0, error=None, **more):
    figures = dict.fromkeys(('median', 'p95', 'p99'), ms) if ms else {}
    about = {'threads': 2, 'build_s': None, 'load_s': 1.5, 'first_ms': 30.0, 'error': error}
    about |= {'memory_mib': {'peak': 654.4, 'resident': 600.0, 'gpu': None}}
    about |= {'depth_error': {'median': 0.00421, 'mean': 0.006} if ms else None}
    about |= {'what': 'network', 'batch': 1, 'flops': 2e9, 'peak': 0.5} | more
    what = about.pop('what')
    return row(what, figures, 'tiny', backend, precision, form, **about)


@pytest.fixture
def rows():
    return [
        row('matrix product 64', {'median': 2.0, 'p95': 3.0, 'p99': 3.0}, tflops=0.25),
        _network('torch', 'fp32', 'plain', 28.0, gain=2.0),
        _network('torch', 'fp32', 'naive', 56.0, gain=1.0),
        _network('openvino', 'bf16', ms=8.0, gain=7.0),
        _network('openvino', 'int8', ms=None, error='int8 costs 3.5 %: refused [cache]'),
        _network('openvino', 'bf16', ms=9.0, what=AS_THE_NODE, threads=1, build_s=4.0),
        row('decode jpeg', {'median': 1.07, 'p95': 1.2, 'p99': 1.3}),
    ]


def test_table_has_a_line_of_each_row(rows):
    text = table(rows)
    assert 'tiny; auto takes openvino bf16 (measured now)' in text
    lines = [line.split() for line in text.splitlines()]
    assert ['torch', 'fp32', 'plain', '2', '1.5', '30.0', '28.00'] in [x[:7] for x in lines]
    fast = next(x for x in lines if x[:2] == ['openvino', 'bf16'])
    # 2 GFLOP in 8 ms are 0.25 TFLOP/s, half of the ceiling
    assert fast[-5:] == ['125.0', '654', '0.42%', '50%', '7.0x']
    assert ['decode', 'jpeg', '1.07', '1.20', '1.30'] in lines
    assert ['openvino', 'int8:', 'failed', '2'] in [x[:4] for x in lines]
    assert 'openvino int8: int8 costs 3.5 %: refused [cache]' in text


def test_table_leaves_out_what_nothing_is_known_of(rows):
    text = table(rows)
    assert 'J/image' not in text and 'GPU MiB' not in text
    rows[1]['joules_per_image'] = 0.125
    assert 'J/image' in table(rows) and '0.125' in table(rows)


@pytest.mark.parametrize('batch', [1, 16])
def test_plot_is_a_picture_in_several_colours(rows, batch, tmp_path):
    pytest.importorskip('matplotlib', reason='needs matplotlib')
    for entry in rows:
        entry['batch'] = batch
    plot(rows, tmp_path / 'bench.png')
    image = cv2.imread(str(tmp_path / 'bench.png'))
    assert image.shape[0] > 200 and image.shape[1] > 800
    colours, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    bars = [c for c, n in zip(colours, counts, strict=True) if n > 1000 and c.min() < 200]
    assert len(bars) >= 3


def test_plot_of_failures_alone_is_a_picture_too(tmp_path):
    pytest.importorskip('matplotlib', reason='needs matplotlib')
    failed = _network('torch', 'fp32', ms=None, error='this is why ' * 20)
    plot([failed], tmp_path / 'bench.png')
    assert (tmp_path / 'bench.png').stat().st_size > 1000
