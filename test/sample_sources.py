"""Sources of made-up samples, as the stores and pictures that training reads."""

from dataclasses import dataclass, field

import numpy as np
import plane_scene

from fcrn_ros.camera import Camera
from fcrn_ros.model.weights import ModelSpec
from fcrn_ros.training.data.samples import Sample
from fcrn_ros.training.data.store import Store, write_store

# no two alike: focal lengths, distances of the centre from the middle, aspect and that of INPUT
CAMERA = Camera(132, 90, 120.0, 112.0, 61.0, 48.5)
SPEC = ModelSpec(
    name='small',
    architecture={},
    input_size=(64, 96),
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    camera={'fx': 80.0, 'fy': 75.0, 'cx': 46.0, 'cy': 33.0},
    depth_range=(0.5, 10.0),
)


@dataclass
class Given:
    """A source of given samples."""

    items: list = field(default_factory=list)
    name: str = 'given'
    licence: str = 'CC0'

    def signature(self):
        return self.name

    def samples(self):
        yield from self.items

    def report(self):
        return [f'{len(self.items)} given']

    def __len__(self):
        return len(self.items)


def stored(folder, items, name='given', licence='CC0'):
    """Return samples as a store in a folder."""
    write_store(folder / name, items, Given(items, name, licence))
    return Store(folder / name)


def plane_sample(name='plane', world_T_camera=None, camera=CAMERA, **known):
    """Return what a camera sees of the textured plane."""
    pose = np.eye(4) if world_T_camera is None else world_T_camera
    picture, depth = plane_scene.render(pose, camera)
    image = np.rint(255 * picture).astype(np.uint8)
    known = {'depth': depth.astype(np.float32), 'world_T_camera': pose, **known}
    return Sample(name, image, camera, **known)


def blank_samples(count, camera=CAMERA, **known):
    """
    Return samples named 00, 01, ... at 0, 0.1, ... s, of grey 0, 1, ...

    :param known: fields of every sample; a function gives that of the sample's number.
    """
    size = camera.height, camera.width
    return [
        Sample(
            f'{i:02}',
            np.full((*size, 3), i, np.uint8),
            camera,
            **{k: v(i) if callable(v) else v for k, v in {'time': i / 10, **known}.items()},
        )
        for i in range(count)
    ]
