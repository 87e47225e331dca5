"""What the demo leaves behind: pictures of depth and cloud, and the figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from fcrn_ros.demo.session import Result

matplotlib.use('Agg')
from matplotlib import pyplot as plt  # noqa: E402

NEAR, FAR = 0.5, 10.0  # [m], the colours' range
ERROR = 0.5  # relative error drawn as the strongest red or blue


def write_summary(folder: Path, summary: dict[str, Any]) -> Path:
    """Write ``summary.json``."""
    path = folder / 'summary.json'
    path.write_text(json.dumps(summary, indent=2) + '\n')
    return path


def draw_depth(folder: Path, results: list[Result]) -> Path | None:
    """Draw colour | depth | error, one row a frame, into ``depth.png``; None without frames."""
    rows = [r for r in results if r.color is not None]
    if not rows:
        return None
    columns = 3 if any(r.truth is not None for r in rows) else 2
    far = _far(rows)
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(4 * columns, 3.1 * len(rows)), squeeze=False
    )
    for row, result in zip(axes, rows, strict=True):
        row[0].imshow(result.frame.image)
        depth = row[1].imshow(
            np.where(np.isfinite(result.depth), result.depth, np.nan),
            cmap='turbo_r',
            vmin=NEAR,
            vmax=far,
        )
        figure.colorbar(depth, ax=row[1], label='z-depth [m]', fraction=0.036)
        if columns == 3:
            _draw_error(figure, row[2], result)
        for axis in row:
            axis.set_axis_off()
    for axis, title in zip(
        axes[0], ('camera', 'depth by the node', 'relative error'), strict=False
    ):
        axis.set_title(title)
    return _saved(figure, folder / 'depth.png')


def _draw_error(figure: Any, axis: Any, result: Result) -> None:
    if result.truth is None:
        return
    with np.errstate(invalid='ignore'):
        error = (result.depth - result.truth) / result.truth
    image = axis.imshow(
        100 * np.where(np.isfinite(error), error, np.nan),
        cmap='RdBu_r',
        vmin=-100 * ERROR,
        vmax=100 * ERROR,
    )
    figure.colorbar(image, ax=axis, label='too far  [%]', fraction=0.036)


def _far(results: list[Result]) -> float:
    finite = np.concatenate([r.depth[np.isfinite(r.depth)] for r in results])
    return float(min(FAR, np.percentile(finite, 99) * 1.1)) if len(finite) else FAR


def draw_cloud(folder: Path, results: list[Result]) -> Path | None:
    """Draw the last cloud from above and from the side: ``cloud.png``; None without one."""
    clouds = [r for r in results if r.points is not None]
    if not clouds:
        return None
    points = clouds[-1].points
    assert points is not None
    xyz = points[..., :3].reshape(-1, 3)
    colors = points.view(np.uint8).reshape(*points.shape[:2], 16)[..., 14:11:-1].reshape(-1, 3)
    keep = np.isfinite(xyz[:, 2])
    (x, y, z), shown = xyz[keep].T, colors[keep] / 255
    figure, (above, side) = plt.subplots(2, 1, figsize=(10, 11))
    above.scatter(z, -x, c=shown, s=6, linewidths=0)
    side.scatter(z, -y, c=shown, s=6, linewidths=0)
    for axis, title, label in (
        (above, 'the cloud from above', 'left of the camera [m]'),
        (side, 'the cloud from the right', 'above the camera [m]'),
    ):
        axis.plot(0, 0, marker='>', color='red', markersize=12)
        axis.set(title=title, xlabel='ahead of the camera [m]', ylabel=label)
        axis.set_aspect('equal')
        axis.grid(alpha=0.3)
        axis.set_facecolor('0.93')
    return _saved(figure, folder / 'cloud.png')


def _saved(figure: Any, path: Path) -> Path:
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)
    return path
