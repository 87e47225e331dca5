"""What lies where on the page, so that it shows everything at first sight."""

from __future__ import annotations

import rerun.blueprint as rrb

from fcrn_ros.viewer.top_view import CELL, COLUMNS, ROWS

# the cloud is looked at from behind, above and the right of the camera [m], optical frame
EYE, TARGET, UP = (1.1, -1.7, -1.9), (0.0, 0.2, 2.6), (0.0, -1.0, 0.0)
MARGIN = 4  # cells around the view from above
LATENCY, SCALE = 200.0, (0.5, 2.0)  # what the plots reach to at first [ms], and from and to


def blueprint() -> rrb.Blueprint:
    """Return the page: pictures, cloud, the view from above, plots and a legend."""
    pictures = rrb.Vertical(
        rrb.Spatial2DView(origin='camera/lens', name='Camera'),
        rrb.Spatial2DView(origin='depth', name='Depth: red is near, blue is far'),
        rrb.Spatial2DView(origin='confidence', name='Confidence: white is sure'),
    )
    cloud = rrb.Spatial3DView(
        origin='camera',
        name='Points in 3-D: drag to turn, scroll to zoom',
        background=(24, 26, 30),
        line_grid=rrb.LineGrid3D(visible=False),
        eye_controls=rrb.EyeControls3D(position=EYE, look_target=TARGET, eye_up=UP),
    )
    plots = rrb.Horizontal(
        rrb.TimeSeriesView(
            origin='latency',
            name='Image to depth [ms]',
            axis_y=rrb.ScalarAxis(range=(0.0, LATENCY)),
        ),
        rrb.TimeSeriesView(origin='scale', name='Depth scale', axis_y=rrb.ScalarAxis(range=SCALE)),
    )
    above = rrb.Spatial2DView(
        origin='above',
        name=f'From above, {COLUMNS * CELL:.0f} x {ROWS * CELL:.0f} m',
        background=(24, 26, 30),
        visual_bounds=rrb.VisualBounds2D(
            x_range=(-MARGIN, COLUMNS + MARGIN), y_range=(-MARGIN, ROWS + MARGIN)
        ),
    )
    legend = rrb.TextDocumentView(origin='about', name='What is this?')
    return rrb.Blueprint(
        rrb.Horizontal(
            pictures,
            rrb.Vertical(cloud, plots, row_shares=(3, 1)),
            rrb.Vertical(above, legend, row_shares=(2, 1)),
            column_shares=(1, 2, 1.3),
        ),
        rrb.TimePanel(state='collapsed', timeline='stamp', play_state='following'),
        rrb.BlueprintPanel(state='hidden'),
        rrb.SelectionPanel(state='hidden'),
        auto_layout=False,
        auto_views=False,
    )
