"""
The furnished room of the demo clip, and its Mitsuba scene.

The room is 4.5 m wide (x), 6 m deep (y) and 2.6 m high (z).  The camera starts near ``y = 0`` and
looks along +y; the window is in the left wall, a second one lies behind the camera.
"""
import mitsuba as mi
import numpy as np
import room_furniture as items
import room_textures as tex
from room_furniture import BLACK, STEEL, WHITE
from room_mesh import Collector, box, cushion, quad, sheet, tube

WIDTH, DEPTH, HEIGHT = 4.5, 6.0, 2.6
WINDOW_Y, WINDOW_Z = (3.45, 4.95), (0.92, 2.2)


def add_shell(room):
    """
    Add floor, ceiling, walls and skirting boards.

    :param room: the collector.
    """
    (y0, y1), (z0, z1) = WINDOW_Y, WINDOW_Z
    room.put('floor', quad((0, 0, 0), (WIDTH, 0, 0), (0, DEPTH, 0)))
    room.put('ceiling', quad((0, 0, HEIGHT), (WIDTH, 0, 0), (0, DEPTH, 0)))
    lap = 0.05  # walls overlap at the corners, so that no ray slips through
    room.put('wallpaper', quad((-lap, DEPTH, -lap), (WIDTH + 2 * lap, 0, 0),
                               (0, 0, HEIGHT + 2 * lap)))
    room.put('plaster', quad((WIDTH, 0, -lap), (0, DEPTH + lap, 0), (0, 0, HEIGHT + 2 * lap)))
    room.put('plaster', quad((0, 0, 0), (WIDTH, 0, 0), (0, 0, HEIGHT)))
    for lo, hi in (((0, 0), (y0, HEIGHT)), ((y1, 0), (DEPTH, HEIGHT)),
                   ((y0, 0), (y1, z0)), ((y0, z1), (y1, HEIGHT))):
        wall = quad((0, lo[0], lo[1]), (0, hi[0] - lo[0], 0), (0, 0, hi[1] - lo[1]))
        wall.uvs += lo
        room.put('brick', wall)
    board, thick = 0.09, 0.016
    room.put('paint', box((0, 0, 0), (thick, DEPTH, board)), WHITE)
    room.put('paint', box((WIDTH - thick, 0, 0), (WIDTH, DEPTH, board)), WHITE)
    room.put('paint', box((0, DEPTH - thick, 0), (3.47, DEPTH, board)), WHITE)
    room.put('paint', box((0, DEPTH - 0.03, HEIGHT - 0.07), (WIDTH, DEPTH, HEIGHT)), WHITE)


def add_window(room):
    """
    Add reveal, frame, sill, radiator and curtains of the left wall's window.

    :param room: the collector.
    """
    (y0, y1), (z0, z1) = WINDOW_Y, WINDOW_Z
    back = -0.16
    room.put('paint', box((back, y0 - 0.02, z0 - 0.03), (0.05, y1 + 0.02, z0)), WHITE)
    room.put('paint', box((back, y0 - 0.02, z1), (0, y1 + 0.02, z1 + 0.02)), WHITE)
    for y in (y0 - 0.02, y1):
        room.put('paint', box((back, y, z0), (0, y + 0.02, z1)), WHITE)
    for y in (y0, (y0 + y1) / 2 - 0.03, y1 - 0.06):
        room.put('paint', box((-0.12, y, z0), (-0.07, y + 0.06, z1)), WHITE)
    for z in (z0, z0 + 0.82, z1 - 0.06):
        room.put('paint', box((-0.12, y0, z), (-0.07, y1, z + 0.06)), WHITE)
    for k in range(14):
        y = y0 + 0.2 + 0.08 * k
        room.put('paint', cushion((0.03, y, 0.14), (0.12, y + 0.07, 0.72), 0.02, cells=4), WHITE)
    room.put('dark', tube((0.1, y0 - 0.45, 2.36), (0.1, y1 + 0.45, 2.36), 0.014), BLACK)
    for start, width, count in ((y0 - 0.38, 0.42, 6), (y1 - 0.02, 0.42, 6)):
        t, z = np.linspace(0, 1, 121), np.linspace(2.36, 0.06, 12)
        grid = np.zeros((12, 121, 3))
        sway = 0.045 * np.sin(2 * np.pi * count * t) + 0.01 * np.sin(9 * t)
        grid[..., 0] = 0.1 + sway * (0.8 + 0.25 * np.linspace(0, 1, 12)[:, None])
        grid[..., 1] = start + width * t
        grid[..., 2] = z[:, None]
        room.put('curtain', sheet(grid))


def add_door(room):
    """
    Add the panelled door, its casing, handle and light switch to the far wall.

    :param room: the collector.
    """
    x0, x1, top, y = 3.55, 4.36, 2.05, DEPTH
    for lo, hi in (((x0 - 0.08, 0), (x0, top + 0.08)), ((x1, 0), (x1 + 0.08, top + 0.08)),
                   ((x0, top), (x1, top + 0.08))):
        room.put('paint', box((lo[0], y - 0.035, lo[1]), (hi[0], y, hi[1])), WHITE)
    room.put('paint', box((x0, y - 0.012, 0.006), (x1, y, top)), WHITE)
    mid = (x0 + x1) / 2
    rails = [((x0, 0.006), (x0 + 0.11, top)), ((x1 - 0.11, 0.006), (x1, top)),
             ((mid - 0.05, 0.006), (mid + 0.05, top))]
    rails += [((x0, z), (x1, z + h)) for z, h in ((0.006, 0.2), (0.82, 0.14), (1.93, 0.12))]
    for k, (lo, hi) in enumerate(rails):
        front = y - 0.026 - 0.0006 * k
        room.put('paint', box((lo[0], front, lo[1]), (hi[0], y, hi[1])), WHITE)
    knob = (x0 + 0.06, y - 0.03, 1.02)
    room.put('metal', tube(knob, (knob[0], y - 0.085, 1.02), 0.011), STEEL)
    room.put('metal', tube((knob[0], y - 0.08, 1.02), (knob[0] + 0.12, y - 0.08, 1.02), 0.010),
             STEEL)
    room.put('paint', box((3.28, y - 0.012, 1.08), (3.37, y, 1.17)), (0.8, 0.8, 0.78))
    room.put('paint', box((3.3, y - 0.017, 1.1), (3.35, y, 1.15)), (0.76, 0.76, 0.74))


def furnish(seed=7):
    """
    Build the room.

    :param seed: seed of everything random.
    :return: the filled :class:`Collector`.
    """
    rng = np.random.default_rng(seed)
    room = Collector()
    add_shell(room)
    add_window(room)
    add_door(room)
    items.add_bookcase(room, rng)
    items.add_sofa(room)
    items.add_picture(room, 'picture_a', (1.85, DEPTH, 1.52), (0.5, 0.66), 'far')
    items.add_picture(room, 'picture_b', (2.62, DEPTH, 1.56), (0.72, 0.52), 'far')
    items.add_picture(room, 'picture_c', (WIDTH, 4.35, 1.55), (0.85, 0.6), 'right')
    items.add_table(room, 'oak', (2.55, 1.55), (3.85, 2.85, 0.75))
    items.add_chair(room, (2.28, 2.35), 100, 'stripes')
    items.add_chair(room, (3.2, 3.08), 172, 'blue')
    items.add_table_objects(room, rng)
    items.add_lounge(room, rng)
    items.add_plant(room, rng, (0.5, 3.25))
    items.add_sideboard(room, rng)
    items.add_clutter(room, rng)
    items.add_armchair(room)
    items.add_lamps(room)
    return room


def textures(seed=11):
    """
    Draw all textures.

    :param seed: seed of everything random.
    :return: dict of material to ``(image, tile size in metres or None, roughness or None)``;
        without a tile size the texture coordinates address the whole image.
    """
    rng = np.random.default_rng(seed)
    warm = [(0.86, 0.80, 0.68), (0.75, 0.30, 0.18), (0.90, 0.62, 0.22), (0.25, 0.33, 0.42),
            (0.5, 0.2, 0.2)]
    cool = [(0.70, 0.78, 0.80), (0.12, 0.28, 0.42), (0.20, 0.45, 0.48), (0.85, 0.80, 0.70),
            (0.9, 0.5, 0.3)]
    green = [(0.78, 0.80, 0.68), (0.25, 0.40, 0.25), (0.50, 0.58, 0.30), (0.80, 0.68, 0.35),
             (0.2, 0.25, 0.3)]
    text = np.full((594, 420, 3), 0.93)
    for y in range(50, 530, 16):
        text[y:y + 5, 45:int(rng.uniform(240, 380))] = 0.35
    return {
        'floor': (tex.planks(rng), (WIDTH, DEPTH), 0.22),
        'ceiling': (tex.plaster(rng, (0.90, 0.89, 0.86)), (3, 3), None),
        'plaster': (tex.plaster(rng, (0.83, 0.79, 0.70)), (3, 3), None),
        'wallpaper': (tex.wallpaper(rng), (0.36, 0.36), None),
        'brick': (tex.bricks(rng), (0.9, 0.6), None),
        'oak': (tex.grain(1024, (0.66, 0.47, 0.29), rng, 0.08), (1, 1), 0.3),
        'walnut': (tex.grain(1024, (0.36, 0.23, 0.15), rng, 0.14), (1, 1), 0.3),
        'sofa': (tex.weave(rng, (0.33, 0.40, 0.46)), (0.4, 0.4), None),
        'mustard': (tex.weave(rng, (0.66, 0.50, 0.26)), (0.4, 0.4), None),
        'blue': (tex.weave(rng, (0.22, 0.32, 0.48)), (0.4, 0.4), None),
        'curtain': (tex.weave(rng, (0.80, 0.76, 0.67), contrast=0.07), (0.4, 0.4), None),
        'stripes': (tex.stripes(rng, [(0.85, 0.81, 0.72), (0.60, 0.22, 0.18), (0.85, 0.81, 0.72),
                                      (0.22, 0.30, 0.40)] * 2), (0.4, 0.4), None),
        'rug': (tex.rug(rng), None, None),
        'books': (tex.spines(rng), None, 0.35),
        'card': (tex.cardboard(rng), (0.5, 0.5), None),
        'picture_a': (tex.painting(rng, warm), None, None),
        'picture_b': (tex.painting(rng, cool, (360, 480)), None, None),
        'picture_c': (tex.painting(rng, green, (360, 480)), None, None),
        'screen': (tex.painting(rng, cool, (300, 480)), None, 0.2),
        'paper': (tex.finish(text), None, None),
    }


def make_bsdf(image, rough):
    """
    Describe a surface.

    All surfaces share two kinds of code (one texture type, no texture transform), which lets
    Mitsuba evaluate them together and is several times faster.

    :param image: sRGB ``uint8`` texture.
    :param rough: roughness of the gloss, ``None`` for a matt surface.
    :return: Mitsuba description.
    """
    color = {'type': 'bitmap', 'bitmap': mi.Bitmap(np.ascontiguousarray(image))}
    bsdf = {'type': 'diffuse', 'reflectance': color}
    if rough is not None:
        bsdf = {'type': 'roughplastic', 'diffuse_reflectance': color, 'alpha': rough}
    return {'type': 'twosided', 'bsdf': bsdf}


def paint(part, colors):
    """
    Make the palette texture of a plainly coloured group.

    :param part: the geometry; its texture coordinates are pointed at the palette.
    :param colors: ``(n, 3)`` linear RGB of every vertex.
    :return: sRGB ``uint8`` texture with one column per colour.
    """
    palette, index = np.unique(colors.astype(np.float32), axis=0, return_inverse=True)
    part.uvs = np.stack([(index.ravel() + 0.5) / len(palette), np.full(len(colors), 0.5)], -1)
    return tex.finish(palette[None] ** (1 / 2.2))


def to_mesh(name, part, bsdf):
    """
    Convert a part to a Mitsuba mesh.

    :param name: name of the mesh.
    :param part: the geometry.
    :param bsdf: Mitsuba description of the material.
    :return: the mesh.
    """
    props = mi.Properties()
    props['bsdf'] = mi.load_dict(bsdf)
    mesh = mi.Mesh(name, len(part.verts), len(part.faces), has_vertex_normals=True,
                   has_vertex_texcoords=True, props=props)
    params = mi.traverse(mesh)
    for key, values in (('vertex_positions', part.verts), ('vertex_normals', part.normals),
                        ('vertex_texcoords', part.uvs)):
        params[key] = np.ascontiguousarray(values, np.float32).ravel()
    params['faces'] = np.ascontiguousarray(part.faces, np.uint32).ravel()
    params.update()
    return mesh


def panel(centre, normal, size, radiance):
    """
    Make a rectangular light.

    :param centre: middle of the rectangle.
    :param normal: direction it shines to, horizontal.
    :param size: ``(width, height)`` in metres.
    :param radiance: Mitsuba description of the radiance.
    :return: Mitsuba description of the light.
    """
    target = [c + n for c, n in zip(centre, normal, strict=True)]
    to_world = mi.ScalarTransform4f().look_at(origin=centre, target=target, up=[0, 0, 1])
    to_world = to_world @ mi.ScalarTransform4f().scale([size[0] / 2, size[1] / 2, 1])
    return {'type': 'rectangle', 'to_world': to_world,
            'emitter': {'type': 'area', 'radiance': radiance}}


def lights(seed=5):
    """
    Make the windows and lamps.

    :param seed: seed of the view through the window.
    :return: dict of Mitsuba descriptions.
    """
    (y0, y1), (z0, z1) = WINDOW_Y, WINDOW_Z
    view = tex.outdoors(np.random.default_rng(seed)).astype(np.float32) / 255
    view = mi.Bitmap(np.ascontiguousarray(view[::-1]**2.2 * [11.0, 11.5, 12.0]).astype(np.float32))
    view = {'type': 'bitmap', 'bitmap': view, 'raw': True}
    warm = {'type': 'rgb', 'value': [55.0, 38.0, 20.0]}
    glow = {'type': 'rgb', 'value': [2.5, 1.75, 1.0]}
    return {
        'window': panel([-0.14, (y0 + y1) / 2, (z0 + z1) / 2], [1, 0, 0], (y1 - y0, z1 - z0),
                        view),
        'behind': panel([1.9, 0.01, 1.55], [0, 1, 0], (2.2, 1.3),
                        {'type': 'rgb', 'value': [4.2, 4.4, 4.6]}),
        'bulb': {'type': 'sphere', 'center': [3.2, 2.6, 1.86], 'radius': 0.05,
                 'emitter': {'type': 'area', 'radiance': warm}},
        'shade': {'type': 'cylinder', 'p0': [3.32, 5.55, 1.36], 'p1': [3.32, 5.55, 1.64],
                  'radius': 0.17, 'emitter': {'type': 'area', 'radiance': glow}},
    }


def build_scene():
    """
    Build the whole Mitsuba scene, without a camera.

    :return: the scene.
    """
    images = textures()
    gloss = {'paint': 0.25, 'dark': 0.25, 'metal': 0.25, 'leaf': None}
    scene = {'type': 'scene', **lights()}
    for name, (part, colors) in furnish().merged().items():
        if name in images:
            image, tile, rough = images[name]
            part.uvs = part.uvs / (tile or (1, 1))
        else:
            image, rough = paint(part, colors), gloss[name]
        scene[name] = to_mesh(name, part, make_bsdf(image, rough))
    return mi.load_dict(scene)
