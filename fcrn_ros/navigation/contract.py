"""
What is wrong with a costmap's parameters, by what Nav2's layers do with them.

The rules are those of nav2_costmap_2d (ObstacleLayer, VoxelLayer, ObservationBuffer) and
spatio_temporal_voxel_layer (MeasurementBuffer, DepthCameraFrustum). Only layers that read the
depth node's clouds are judged; a laser scanner's beside them is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fcrn_ros.navigation.observation import (
    CLEARING,
    INFLATION,
    MARKING,
    STVL,
    VOXEL,
    Source,
    kind_of,
    layers_of,
    number_in,
    sources_of,
)
from fcrn_ros.settings import Settings

MOST_VOXELS = 16  # in a column of Nav2's voxel grid
FLOOR_ERROR = 0.1  # a cloud that holds the floor must not mark below this height [m]
PERIODS = (0.2, 5.0)  # expected_update_rate outside looks like a rate, or is always late [s]
# parameters of type double: ROS refuses 2 for 2.0, and the costmap does not start
DOUBLES = {
    *('min_obstacle_height', 'max_obstacle_height', 'obstacle_range', 'origin_z', 'z_resolution'),
    *('obstacle_min_range', 'obstacle_max_range', 'raytrace_min_range', 'raytrace_max_range'),
    *('expected_update_rate', 'observation_persistence', 'voxel_size', 'voxel_decay', 'min_z'),
    *('max_z', 'vertical_fov_angle', 'horizontal_fov_angle', 'vertical_fov_padding'),
    *('decay_acceleration', 'transform_tolerance', 'inflation_radius', 'cost_scaling_factor'),
    *('resolution', 'robot_radius', 'update_frequency', 'publish_frequency'),
}


@dataclass(frozen=True)
class Facts:
    """
    What the file does not say itself.

    :param camera_height: above the floor [m]; None is not known.
    :param obstacle_min_height: the node's [m].
    """

    camera_height: float | None = None
    obstacle_min_height: float = Settings.obstacle_min_height


def check(document: Mapping[str, Any], facts: Facts | None = None) -> list[str]:
    """
    Return what is wrong with a file of Nav2 parameters, one sentence each; none when it is right.

    :param document: as YAML reads it: local_costmap, global_costmap, or both among other nodes.
    :param facts: see there.
    """
    facts = facts or Facts()
    costmaps = list(_costmaps(document))
    problems = [f'{n}: {p}' for n, c in costmaps for p in _costmap_problems(c, facts)]
    if any(sources_of(layer) for _, c in costmaps for _, _, layer in layers_of(c)):
        return problems
    return [
        *problems,
        f"no layer reads the depth node's clouds: expected observation sources with a topic that "
        f'ends in {MARKING} and {CLEARING}',
    ]


def _costmaps(tree: Any, name: str = '') -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (name, parameters) of every node that has layers."""
    if not isinstance(tree, Mapping):
        return
    for key, value in tree.items():
        if key == 'ros__parameters' and isinstance(value, Mapping):
            if any(True for _ in layers_of(value)):
                yield name, value
        else:
            yield from _costmaps(value, str(key))


def _costmap_problems(costmap: Mapping[str, Any], facts: Facts) -> Iterator[str]:
    ours = [(n, k, layer) for n, k, layer in layers_of(costmap) if sources_of(layer)]
    for name, kind, layer in ours:
        yield from (f'{name}: {p}' for p in _layer_problems(kind, layer, facts))
    plugins = costmap.get('plugins')
    if ours and isinstance(plugins, list):
        yield from _plugin_problems(costmap, plugins, [name for name, _, _ in ours])
    if ours:
        yield from _type_problems({k: v for k, v in costmap.items() if k in DOUBLES})


def _plugin_problems(
    costmap: Mapping[str, Any], plugins: list[Any], layers: list[str]
) -> Iterator[str]:
    if not set(plugins) & set(layers):
        yield f'plugins is {plugins}; expected one of {", ".join(layers)} in it, or none is loaded'
    inflating = [n for n in plugins if kind_of(costmap.get(n)) == INFLATION]
    for name in set(layers) & set(plugins[plugins.index(inflating[0]) :] if inflating else []):
        yield f'plugins has {name} after {inflating[0]}: its obstacles are not inflated'


def _layer_problems(kind: str, layer: Mapping[str, Any], facts: Facts) -> Iterator[str]:
    sources = sources_of(layer)
    yield from _type_problems(layer)
    for source in sources:
        yield from (f'{source.name}: {p}' for p in _source_problems(kind, source, facts))
    yield from _pair_problems(kind, sources)
    if kind == STVL:
        return
    if not number_in(layer, 'max_obstacle_height', 2.0) > 0:
        yield 'max_obstacle_height is not above 0: nothing is marked'
    low = number_in(layer, 'min_obstacle_height', 0.0)
    if low > facts.obstacle_min_height:
        yield f'min_obstacle_height is {low:g}: cuts off what the node has left'
    if kind == VOXEL:
        yield from _grid_problems(layer, sources, facts)


def _type_problems(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if name in DOUBLES and not isinstance(value, float):
            yield f'{name} is {value!r}; expected a number with a point, as 2.0'
        elif isinstance(value, Mapping):
            yield from (f'{name}: {p}' for p in _type_problems(value))


def _source_problems(kind: str, source: Source, facts: Facts) -> Iterator[str]:
    values = source.values
    topic = str(values['topic'])
    if not topic.startswith('/'):
        yield f'topic {topic!r} is relative, to what depends on the release of Nav2: /{topic}'
    if values['data_type'] != 'PointCloud2':
        yield f'data_type is {values["data_type"]}; expected PointCloud2'
    low, high = source.number('min_obstacle_height'), source.number('max_obstacle_height')
    if not high > max(low, 0.0):
        yield f'max_obstacle_height is {high:g}, 0 where it is not set: drops every point above'
    yield from _job_problems(source, low, facts)
    period, clears_only = source.number('expected_update_rate'), not source.flag('marking')
    if kind == STVL and clears_only:
        if period:
            yield 'expected_update_rate must be 0: a source that only clears is never updated'
        if source.number('observation_persistence'):
            yield 'observation_persistence must be 0: a source that only clears keeps no cloud'
        for name in ('horizontal_fov_angle', 'vertical_fov_angle'):
            if name not in values:
                yield f"{name} is not set: the default is another camera's"
    elif period and not PERIODS[0] <= period <= PERIODS[1]:
        yield f'expected_update_rate is {period:g}: it is a period in seconds, not a rate'


def _job_problems(source: Source, low: float, facts: Facts) -> Iterator[str]:
    marks, clears = source.flag('marking'), source.flag('clearing')
    if not (marks or clears):
        yield 'neither marks nor clears'
    if marks and source.cloud == MARKING and low > facts.obstacle_min_height:
        yield f'min_obstacle_height is {low:g}: cuts off what the node has left of {MARKING}'
    if marks and source.cloud != MARKING and low < FLOOR_ERROR:
        yield f'marks the floor: {source.cloud} holds it, and min_obstacle_height is {low:g}'
    if clears and source.cloud == MARKING:
        yield f'clears with {MARKING}, which has no floor: free floor never clears'
    elif clears and low >= 0:
        yield f'the floor does not clear: min_obstacle_height is {low:g}, expected below 0'


def _pair_problems(kind: str, sources: list[Source]) -> Iterator[str]:
    """Judge what a camera's sources do together: what is marked has to be cleared again."""
    for camera in sorted({source.camera for source in sources}):
        own = [source for source in sources if source.camera == camera]
        marking = [source for source in own if source.flag('marking')]
        clearing = [source for source in own if source.flag('clearing')]
        topics = ', '.join(str(source.values['topic']) for source in own)
        if not marking:
            yield f'no source marks of those that read {topics}'
        elif not clearing:
            yield f'no source clears of those that read {topics}: obstacles stay for ever'
        elif kind != STVL:
            far = max(source.number('obstacle_max_range') for source in marking)
            cleared = max(source.number('raytrace_max_range') for source in clearing)
            if cleared < far:
                yield (
                    f'{marking[0].name} marks up to {far:g} m and {clearing[0].name} clears up to '
                    f'{cleared:g} m: raytrace_max_range must not be below obstacle_max_range'
                )


def _grid_problems(layer: Mapping[str, Any], sources: list[Source], facts: Facts) -> Iterator[str]:
    voxels, bottom = int(number_in(layer, 'z_voxels', 10)), number_in(layer, 'origin_z', 0.0)
    top = bottom + voxels * number_in(layer, 'z_resolution', 0.2)
    if not 1 <= voxels <= MOST_VOXELS:
        yield f'z_voxels is {voxels}; expected 1 to {MOST_VOXELS}'
    height = facts.camera_height
    if height is not None and not bottom < height < top:
        yield (
            f'the grid reaches from {bottom:g} to {top:g} m and the camera is at {height:g} m: '
            'from outside nothing is cleared'
        )
    marked = [s.number('max_obstacle_height') for s in sources if s.flag('marking')]
    high = min(max(marked, default=0.0), number_in(layer, 'max_obstacle_height', 2.0))
    if top < high - 1e-6:
        yield f'the grid ends at {top:g} m, below max_obstacle_height {high:g} m: not marked above'
