"""
Small NumPy modelling kit of the demo room: boxes, lathed bodies, sheets and a mesh collector.

Lengths are metres, ``z`` points up.  Texture coordinates are metres too, so that one material
keeps its scale on furniture of any size.
"""
from dataclasses import dataclass

import numpy as np


@dataclass
class Part:
    """
    One triangulated piece of geometry.

    :param verts: ``(n, 3)`` positions in metres.
    :param normals: ``(n, 3)`` unit normals.
    :param uvs: ``(n, 2)`` texture coordinates in metres.
    :param faces: ``(m, 3)`` vertex indices.
    """

    verts: np.ndarray
    normals: np.ndarray
    uvs: np.ndarray
    faces: np.ndarray

    def moved(self, offset=(0.0, 0.0, 0.0), yaw=0.0, tilt=0.0):
        """
        Return a copy that is tilted about x, then turned about z, then shifted.

        :param offset: shift in metres.
        :param yaw: angle about the z axis in degrees.
        :param tilt: angle about the x axis in degrees, applied first.
        :return: the moved part.
        """
        c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
        about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
        c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
        rot = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ about_x
        verts = self.verts @ rot.T + np.asarray(offset, float)
        return Part(verts, self.normals @ rot.T, self.uvs, self.faces)


def join(parts):
    """
    Merge parts into one.

    :param parts: sequence of :class:`Part`.
    :return: one :class:`Part` with all triangles.
    """
    starts = np.cumsum([0] + [len(p.verts) for p in parts[:-1]])
    return Part(
        np.concatenate([p.verts for p in parts]),
        np.concatenate([p.normals for p in parts]),
        np.concatenate([p.uvs for p in parts]),
        np.concatenate([p.faces + start for p, start in zip(parts, starts, strict=True)]),
    )


def sheet(points, uvs=None, normals=None):
    """
    Triangulate a regular grid of points.

    :param points: ``(h, w, 3)`` grid.
    :param uvs: ``(h, w, 2)`` texture coordinates, by default the arc length along both axes.
    :param normals: ``(h, w, 3)`` normals, by default from the grid's own slopes.
    :return: the part.
    """
    points = np.asarray(points, float)
    h, w = points.shape[:2]
    if normals is None:
        normals = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
        length = np.linalg.norm(normals, axis=2, keepdims=True)
        normals = np.where(length > 1e-12, normals / np.maximum(length, 1e-12), [0.0, 0.0, 1.0])
    if uvs is None:
        uvs = np.zeros((h, w, 2))
        uvs[:, 1:, 0] = np.cumsum(np.linalg.norm(np.diff(points, axis=1), axis=2), axis=1)
        uvs[1:, :, 1] = np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=2), axis=0)
    index = np.arange(h * w).reshape(h, w)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    return Part(points.reshape(-1, 3), normals.reshape(-1, 3), uvs.reshape(-1, 2), faces)


def quad(origin, edge_u, edge_v, size_uv=None):
    """
    Make one rectangle.

    :param origin: corner with texture coordinate (0, 0).
    :param edge_u: edge vector along the texture's u axis.
    :param edge_v: edge vector along the texture's v axis.
    :param size_uv: texture coordinate of the far corner, by default the edge lengths.
    :return: the part.
    """
    origin, eu, ev = (np.asarray(x, float) for x in (origin, edge_u, edge_v))
    su, sv = size_uv or (np.linalg.norm(eu), np.linalg.norm(ev))
    points = np.array([[origin, origin + eu], [origin + ev, origin + eu + ev]])
    uvs = np.array([[[0, 0], [su, 0]], [[0, sv], [su, sv]]], float)
    normal = np.cross(eu, ev)
    normals = np.broadcast_to(normal / np.linalg.norm(normal), (2, 2, 3))
    return sheet(points, uvs, normals)


def box(lo, hi, shift=(0.0, 0.0)):
    """
    Make an axis-aligned box whose texture runs along its longest edges.

    :param lo: lowest corner.
    :param hi: highest corner.
    :param shift: texture offset, so that equal boxes need not look equal.
    :return: the part.
    """
    lo, hi = np.asarray(lo, float), np.asarray(hi, float)
    size = hi - lo
    parts = []
    for axis in range(3):
        i, j = (k for k in range(3) if k != axis)
        if size[j] > size[i]:
            i, j = j, i
        eu, ev = np.zeros(3), np.zeros(3)
        eu[i], ev[j] = size[i], size[j]
        for corner, sign in ((lo, -1.0), (hi, 1.0)):
            origin = lo.copy()
            origin[axis] = corner[axis]
            face = quad(origin, eu, ev)
            normal = np.zeros(3)
            normal[axis] = sign
            parts.append(Part(face.verts, np.tile(normal, (4, 1)), face.uvs + shift, face.faces))
    return join(parts)


def cushion(lo, hi, radius, puff=0.0, cells=14):
    """
    Make a box with rounded edges whose faces may bulge.

    :param lo: lowest corner.
    :param hi: highest corner.
    :param radius: radius of the edges.
    :param puff: how far the middle of every face stands out.
    :param cells: grid cells along an edge.
    :return: the part.
    """
    lo, hi = np.asarray(lo, float), np.asarray(hi, float)
    half, centre = (hi - lo) / 2, (hi + lo) / 2
    inner = np.maximum(half - radius, 1e-4)
    t = np.sin(np.linspace(-np.pi / 2, np.pi / 2, cells + 1))
    a, b = np.meshgrid(t, t)
    bulge = (puff * (1 - a**2) * (1 - b**2))[..., None]
    parts = []
    for axis in range(3):
        i, j = (k for k in range(3) if k != axis)
        for sign in (-1.0, 1.0):
            unit = np.zeros((*a.shape, 3))
            unit[..., axis], unit[..., i], unit[..., j] = sign, a, b
            cube = unit * half
            core = np.clip(cube, -inner, inner)
            normal = cube - core
            normal /= np.linalg.norm(normal, axis=2, keepdims=True)
            face = core + radius * normal
            face[..., axis] += sign * bulge[..., 0]
            uvs = np.stack([cube[..., i], cube[..., j]], -1)
            part = sheet(face + centre, uvs, normal if puff == 0 else None)
            if puff:
                inward = ((part.verts - centre) * part.normals).sum(1) < 0
                part.normals[inward] *= -1
            parts.append(part)
    return join(parts)


def lathe(profile, at=(0.0, 0.0, 0.0), segments=32):
    """
    Turn a profile about the z axis, with sharp edges along the profile.

    :param profile: list of ``(radius, height)`` from one end to the other.
    :param at: position of the axis at height 0.
    :param segments: steps of the turn.
    :return: the part.
    """
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    cos, sin = np.cos(angle), np.sin(angle)
    parts = []
    for (r0, z0), (r1, z1) in zip(profile[:-1], profile[1:], strict=True):
        length = max(np.hypot(r1 - r0, z1 - z0), 1e-9)
        nr, nz = (z1 - z0) / length, -(r1 - r0) / length
        rows = [np.stack([r * cos, r * sin, np.full_like(cos, z)], -1)
                for r, z in ((r0, z0), (r1, z1))]
        normal = np.stack([nr * cos, nr * sin, np.full_like(cos, nz)], -1)
        around = angle * max(r0, r1)
        uvs = np.stack([np.stack([around, np.full_like(around, z)], -1)
                        for z in (z0, z0 + length)])
        parts.append(sheet(np.stack(rows), uvs, np.stack([normal, normal])))
    return join(parts).moved(at)


def ball(centre, radius, flat=1.0, rows=12):
    """
    Make a sphere or a flattened one.

    :param centre: centre of the ball.
    :param radius: radius in metres.
    :param flat: height over width.
    :param rows: steps from pole to pole.
    :return: the part, smoothly shaded.
    """
    lat = np.linspace(-np.pi / 2, np.pi / 2, rows + 1)[:, None]
    lon = np.linspace(0, 2 * np.pi, 2 * rows + 1)[None]
    normal = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon),
                       np.sin(lat) + 0 * lon], -1)
    return sheet(np.asarray(centre, float) + radius * normal * [1, 1, flat], None, normal)


def tube(start, end, radius, radius_end=None, sides=12):
    """
    Make a round bar between two points.

    :param start: first end.
    :param end: second end.
    :param radius: radius at the first end.
    :param radius_end: radius at the second end, by default the same.
    :param sides: number of sides.
    :return: the part, with closed ends.
    """
    start, end = np.asarray(start, float), np.asarray(end, float)
    axis = end - start
    length = np.linalg.norm(axis)
    r1 = radius if radius_end is None else radius_end
    part = lathe([(0, 0), (radius, 0), (r1, length), (0, length)], segments=sides)
    w = axis / length
    helper = np.array([1.0, 0, 0]) if abs(w[0]) < 0.9 else np.array([0, 1.0, 0])
    u = np.cross(helper, w)
    u /= np.linalg.norm(u)
    rot = np.stack([u, np.cross(w, u), w], axis=1)
    return Part(part.verts @ rot.T + start, part.normals @ rot.T, part.uvs, part.faces)


class Collector:
    """Collects parts by material, each with a colour for the materials that use one."""

    def __init__(self):
        """Start empty."""
        self.groups = {}

    def put(self, material, part, color=(0.5, 0.5, 0.5)):
        """
        Add a part to a material.

        :param material: name of the material.
        :param part: the geometry.
        :param color: linear RGB for materials coloured per vertex.
        """
        colors = np.tile(np.asarray(color, float), (len(part.verts), 1))
        self.groups.setdefault(material, []).append((part, colors))

    def merged(self):
        """
        Return one part and its colours per material.

        :return: dict of name to ``(part, colors)``.
        """
        return {
            name: (join([p for p, _ in items]), np.concatenate([c for _, c in items]))
            for name, items in self.groups.items()
        }
