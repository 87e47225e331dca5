"""Which observation sources of a costmap's layers read the clouds of the depth node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

OBSTACLE, VOXEL, STVL = 'ObstacleLayer', 'VoxelLayer', 'SpatioTemporalVoxelLayer'
INFLATION = 'InflationLayer'
MARKING, CLEARING, WHOLE = 'points/marking', 'points/clearing', 'points'
# what a layer takes where nothing is set
DEFAULTS: dict[str, dict[str, Any]] = {
    OBSTACLE: {
        'data_type': 'LaserScan',
        'max_obstacle_height': 0.0,
        'obstacle_max_range': 2.5,
        'raytrace_max_range': 3.0,
    },
    STVL: {'data_type': 'PointCloud2', 'max_obstacle_height': 3.0, 'obstacle_range': 2.5},
}
DEFAULTS[VOXEL] = DEFAULTS[OBSTACLE]


@dataclass(frozen=True)
class Source:
    """
    An observation source that reads a cloud of the depth node.

    :param name: as the layer has it.
    :param cloud: which of the node's.
    :param camera: the topic's namespace.
    :param values: its parameters over the layer's defaults.
    """

    name: str
    cloud: str
    camera: str
    values: Mapping[str, Any]

    def flag(self, name: str) -> bool:
        """Whether it marks, or clears."""
        return bool(self.values.get(name, name == 'marking'))

    def number(self, name: str) -> float:
        """Return a parameter; 0 where it is neither set nor has another default."""
        return number_in(self.values, name, 0.0)


def number_in(values: Mapping[str, Any], name: str, default: float) -> float:
    """Return a parameter; the default where it is not set or not a number."""
    value = values.get(name, default)
    return float(value) if isinstance(value, int | float) else default


def layers_of(costmap: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield (name, kind, parameters) of the layers that observe."""
    for name, layer in costmap.items():
        kind = kind_of(layer)
        if kind in DEFAULTS:
            yield str(name), kind, layer


def kind_of(layer: Any) -> str:
    """Return the class of a layer's plugin without its package; '' of anything else."""
    plugin = layer.get('plugin', '') if isinstance(layer, Mapping) else ''
    return str(plugin).replace('::', '/').rpartition('/')[2]


def sources_of(layer: Mapping[str, Any]) -> list[Source]:
    """
    Return the sources of a layer that read the depth node's clouds.

    Where some read points/marking or points/clearing, the points of another camera are not the
    node's.
    """
    found = [
        source
        for name in str(layer.get('observation_sources', '')).split()
        if (source := _source(layer, name)) is not None
    ]
    cameras = {source.camera for source in found if source.cloud != WHOLE}
    return [source for source in found if not cameras or source.camera in cameras]


def _source(layer: Mapping[str, Any], name: str) -> Source | None:
    own = layer.get(name)
    values = {**DEFAULTS[kind_of(layer)], **(own if isinstance(own, Mapping) else {})}
    topic = str(values.setdefault('topic', name))
    for cloud in (MARKING, CLEARING, WHOLE):
        if f'/{topic}'.endswith(f'/{cloud}'):
            return Source(name, cloud, topic.removesuffix(cloud).strip('/'), values)
    return None
