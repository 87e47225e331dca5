"""Furniture and small things of the demo room.  Lengths are metres."""
import numpy as np
from room_mesh import Collector, ball, box, cushion, lathe, quad, sheet, tube

ROOM_DEPTH, ROOM_HEIGHT = 6.0, 2.6
WHITE = (0.72, 0.71, 0.68)
BLACK = (0.03, 0.03, 0.035)
STEEL = (0.35, 0.35, 0.36)
GREEN = (0.06, 0.17, 0.04)


def add_books(room, rng, start, run, depth, limits, yaw=0.0):
    """
    Add a row of upright books.

    :param room: the collector.
    :param rng: NumPy random generator.
    :param start: front left bottom corner of the row.
    :param run: length of the row in metres.
    :param depth: greatest depth of a book.
    :param limits: least and greatest height of a book.
    :param yaw: direction of the row in degrees, 0 is along x with the spines facing -y.
    """
    x = 0.0
    while True:
        w, h = rng.uniform(0.016, 0.05), rng.uniform(*limits)
        d, lean = rng.uniform(0.65, 1.0) * depth, 0.0
        if x + w > run:
            break
        inset = rng.uniform(0, 0.03)
        cell = int(rng.integers(48))
        spine = quad((x, inset, h), (w, 0, 0), (0, 0, -h), (1, 1))
        spine.uvs[:, 0] = (cell + 0.02 + 0.96 * spine.uvs[:, 0]) / 48
        body = box((x + 0.0006, inset + 0.001, 0.0), (x + w - 0.0006, inset + d, h))
        body.uvs[:] = [(cell + 0.5) / 48, 0.995]
        for part in (spine, body):
            room.put('books', part.moved(start, yaw + lean))
        x += w + 0.0008
        if rng.random() < 0.06:
            x += rng.uniform(0.03, 0.12)


def add_bookcase(room, rng):
    """
    Add the bookcase at the far wall with books and knick-knacks.

    :param room: the collector.
    :param rng: NumPy random generator.
    """
    x0, x1, y0, y1, top = 0.14, 1.36, ROOM_DEPTH - 0.31, ROOM_DEPTH - 0.01, 2.06
    for x in (x0, (x0 + x1) / 2 - 0.011, x1 - 0.022):
        room.put('walnut', box((x, y0, 0), (x + 0.022, y1, top), (x, 0.3)))
    room.put('walnut', box((x0, y1 - 0.008, 0), (x1, y1, top)))
    levels = (0.07, 0.45, 0.80, 1.12, 1.43, 1.74, top - 0.022)
    for z in levels:
        room.put('walnut', box((x0, y0 + 0.003, z), (x1, y1, z + 0.022), (z, z)))
    for low, high in zip(levels[:-1], levels[1:], strict=True):
        for x in (x0 + 0.024, (x0 + x1) / 2 + 0.013):
            room_above = high - low - 0.022
            run = rng.uniform(0.62, 1.0) * ((x1 - x0) / 2 - 0.04)
            add_books(room, rng, (x, y0 + 0.015, low + 0.022), run, 0.22,
                      (0.6 * room_above, 0.92 * room_above))
    room.put('paint', lathe([(0.0, 0), (0.06, 0), (0.09, 0.08), (0.06, 0.17), (0.035, 0.2),
                             (0.045, 0.23)], (0.5, y0 + 0.14, top)), (0.10, 0.22, 0.30))
    room.put('card', box((0.8, y0 + 0.03, top), (1.2, y1 - 0.03, top + 0.17)))


def add_sofa(room):
    """
    Add the sofa at the far wall.

    :param room: the collector.
    """
    x0, x1, y0, y1 = 1.5, 3.1, 5.02, 5.92
    room.put('sofa', cushion((x0 + 0.1, y0 + 0.04, 0.1), (x1 - 0.1, y1, 0.32), 0.04))
    room.put('sofa', cushion((x0 + 0.1, y1 - 0.26, 0.2), (x1 - 0.1, y1, 0.78), 0.08, 0.01))
    for x in (x0, x1 - 0.2):
        room.put('sofa', cushion((x, y0, 0.08), (x + 0.2, y1, 0.6), 0.07, 0.012))
    half = (x1 - x0 - 0.4) / 2
    for k in range(2):
        x = x0 + 0.2 + k * half
        room.put('sofa', cushion((x + 0.004, y0 + 0.02, 0.30), (x + half - 0.004, y1 - 0.22, 0.46),
                                 0.05, 0.02))
        back = cushion((-half / 2 + 0.005, -0.09, 0), (half / 2 - 0.005, 0.09, 0.42), 0.07, 0.035)
        room.put('sofa', back.moved((x + half / 2, y1 - 0.30, 0.44), tilt=-12))
    pillow = cushion((-0.21, -0.05, 0), (0.21, 0.05, 0.4), 0.05, 0.05)
    room.put('stripes', pillow.moved((x0 + 0.4, y0 + 0.40, 0.46), 14, -22))
    room.put('mustard', pillow.moved((x1 - 0.42, y0 + 0.42, 0.46), -16, -20))
    for x in (x0 + 0.1, x1 - 0.1):
        for y in (y0 + 0.08, y1 - 0.08):
            room.put('dark', tube((x, y, 0), (x, y, 0.1), 0.02), BLACK)


def add_picture(room, name, centre, size, wall):
    """
    Add a framed picture.

    :param room: the collector.
    :param name: material of the picture.
    :param centre: centre of the picture on the wall.
    :param size: ``(width, height)`` in metres.
    :param wall: 'far' or 'right'.
    """
    w, h = size
    e, t = 0.022, 0.024
    parts = [('dark', box((-w / 2 - e, -t, -h / 2 - e), (w / 2 + e, 0, -h / 2))),
             ('dark', box((-w / 2 - e, -t, h / 2), (w / 2 + e, 0, h / 2 + e))),
             ('dark', box((-w / 2 - e, -t, -h / 2), (-w / 2, 0, h / 2))),
             ('dark', box((w / 2, -t, -h / 2), (w / 2 + e, 0, h / 2))),
             (name, quad((-w / 2, -0.008, h / 2), (w, 0, 0), (0, 0, -h), (1, 1)))]
    yaw = 0 if wall == 'far' else -90
    tone = BLACK if wall == 'far' else (0.30, 0.17, 0.08)
    for material, part in parts:
        room.put(material, part.moved(centre, yaw), tone)


def add_table(room, material, lo, hi, leg=0.06, top=0.035, inset=0.03):
    """
    Add a four-legged table with an apron.

    :param room: the collector.
    :param material: material of the table.
    :param lo: ``(x, y)`` of one corner.
    :param hi: ``(x, y, z)`` of the opposite corner of the top.
    :param leg: thickness of a leg.
    :param top: thickness of the top.
    :param inset: distance from the edge of the top to the legs.
    """
    (x0, y0), (x1, y1, z) = lo, hi
    room.put(material, box((x0, y0, z - top), (x1, y1, z), (x0, y0)))
    for x in (x0 + inset, x1 - inset - leg):
        for y in (y0 + inset, y1 - inset - leg):
            room.put(material, box((x, y, 0), (x + leg, y + leg, z - top), (x, y)))
    rail = 0.07 if z > 0.6 else 0.04
    a, b = inset + 0.015, z - top - rail
    for y in (y0 + a, y1 - a - 0.02):
        room.put(material, box((x0 + inset + leg, y, b), (x1 - inset - leg, y + 0.02, z - top)))
    for x in (x0 + a, x1 - a - 0.02):
        room.put(material, box((x, y0 + inset + leg, b), (x + 0.02, y1 - inset - leg, z - top)))


def add_chair(room, at, yaw, cloth):
    """
    Add a wooden chair with a slatted back and a seat pad.

    :param room: the collector.
    :param at: ``(x, y)`` of the seat's middle.
    :param yaw: turn in degrees, 0 faces -y.
    :param cloth: material of the seat pad.
    """
    wood = [box((-0.21, -0.21, 0.43), (0.21, 0.21, 0.455))]
    for x in (-0.205, 0.17):
        wood.append(box((x, -0.205, 0), (x + 0.035, -0.17, 0.43)))
        wood.append(box((x, 0.175, 0), (x + 0.035, 0.21, 0.455)))
        wood.append(box((x, 0, 0), (x + 0.035, 0.03, 0.47)).moved((0, 0.182, 0.45), tilt=-8))
        wood.append(box((x + 0.006, -0.17, 0.2), (x + 0.028, 0.175, 0.225)))
        wood.append(box((x + 0.006, -0.17, 0.38), (x + 0.028, 0.175, 0.43)))
    for z in (0.14, 0.26, 0.38):
        slat = box((-0.17, 0.004, z), (0.17, 0.022, z + 0.06))
        wood.append(slat.moved((0, 0.182, 0.45), tilt=-8))
    wood.append(box((-0.17, -0.2, 0.37), (0.17, -0.18, 0.43)))
    for part in wood:
        room.put('oak', part.moved((*at, 0), yaw))
    pad = cushion((-0.2, -0.2, 0.455), (0.2, 0.19, 0.495), 0.018, 0.01)
    room.put(cloth, pad.moved((*at, 0), yaw))


def add_laptop(room, at, yaw):
    """
    Add an open laptop.

    :param room: the collector.
    :param at: position of the middle of its base.
    :param yaw: turn in degrees, 0 shows the screen to -y.
    """
    grey, key = (0.42, 0.43, 0.45), (0.05, 0.05, 0.055)
    parts = [('metal', box((-0.16, -0.11, 0), (0.16, 0.11, 0.015)), grey)]
    for row in range(5):
        for col in range(13):
            x, y = -0.145 + 0.0226 * col, 0.075 - 0.0225 * row
            parts.append(('dark', box((x, y - 0.018, 0.014), (x + 0.019, y, 0.0165)), key))
    parts.append(('metal', box((-0.045, -0.1, 0.014), (0.045, -0.045, 0.0155)),
                  (0.33, 0.34, 0.35)))
    lid = box((-0.16, 0, 0), (0.16, 0.008, 0.215)).moved((0, 0.108, 0.014), tilt=-18)
    screen = quad((-0.15, -0.001, 0.205), (0.3, 0, 0), (0, 0, -0.19), (1, 1))
    parts.append(('metal', lid, grey))
    parts.append(('screen', screen.moved((0, 0.108, 0.014), tilt=-18), grey))
    for material, part, color in parts:
        room.put(material, part.moved(at, yaw), color)


def add_mug(room, at, color, yaw):
    """
    Add a mug.

    :param room: the collector.
    :param at: position of the middle of its foot.
    :param color: linear RGB.
    :param yaw: direction of the handle in degrees.
    """
    cup = lathe([(0, 0), (0.038, 0), (0.041, 0.006), (0.041, 0.094), (0.037, 0.094),
                 (0.036, 0.012), (0, 0.012)], segments=40)
    room.put('paint', cup.moved(at), color)
    room.put('paint', lathe([(0, 0.07), (0.037, 0.07)]).moved(at), (0.06, 0.03, 0.015))
    angle = np.linspace(-1.45, 1.45, 9)
    curve = np.stack([0.038 + 0.028 * np.cos(angle), 0 * angle, 0.048 + 0.032 * np.sin(angle)], -1)
    for a, b in zip(curve[:-1], curve[1:], strict=True):
        room.put('paint', tube(a, b, 0.0055, sides=8).moved(at, yaw), color)


def add_table_objects(room, rng):
    """
    Add what lies on the dining table.

    :param room: the collector.
    :param rng: NumPy random generator.
    """
    top = 0.75
    add_laptop(room, (3.12, 2.12, top), -38)
    add_mug(room, (2.78, 1.86, top), (0.45, 0.08, 0.05), 200)
    add_mug(room, (3.62, 2.62, top), (0.08, 0.2, 0.35), 20)
    bowl = [(0, 0), (0.05, 0), (0.055, 0.012), (0.10, 0.04), (0.135, 0.085), (0.129, 0.085),
            (0.095, 0.046), (0.05, 0.02), (0, 0.02)]
    room.put('paint', lathe(bowl, (3.05, 2.58, top), 48), (0.62, 0.60, 0.55))
    fruit = ((0.55, 0.10, 0.03), (0.70, 0.33, 0.03), (0.35, 0.42, 0.06), (0.62, 0.07, 0.04))
    for k, (dx, dy, dz) in enumerate(((0.045, 0.02, 0.068), (-0.04, 0.035, 0.066),
                                      (0.0, -0.05, 0.068), (0.005, 0.01, 0.115))):
        room.put('paint', ball((3.05 + dx, 2.58 + dy, top + dz), 0.038, 0.93), fruit[k])
    z = top
    for k, (w, d, h) in enumerate(((0.17, 0.24, 0.03), (0.15, 0.22, 0.022), (0.13, 0.19, 0.028))):
        body = box((-w / 2, -d / 2, 0), (w / 2, d / 2, h))
        body.uvs[:] = [(7 + 5 * k + 0.5) / 48, 0.995]
        room.put('books', body.moved((3.48, 1.72, z), 25 - 14 * k))
        pages = box((-w / 2 + 0.004, -d / 2 - 0.001, 0.004),
                    (w / 2 + 0.001, d / 2 - 0.004, h - 0.004))
        room.put('paint', pages.moved((3.48, 1.72, z), 25 - 14 * k), (0.75, 0.71, 0.60))
        z += h + 0.0005
    for x, y, yaw in ((2.86, 2.28, 12), (2.9, 2.3, -8)):
        paper = quad((-0.105, -0.148, 0), (0.21, 0, 0), (0, 0.297, 0), (1, 1))
        room.put('paper', paper.moved((x, y, top + 0.001 + 0.001 * (yaw < 0)), yaw))
    pen = tube((2.84, 2.16, top + 0.007), (2.95, 2.24, top + 0.007), 0.004)
    room.put('dark', pen, (0.02, 0.03, 0.2))


def add_lounge(room, rng):
    """
    Add rug, coffee table and what lies on it.

    :param room: the collector.
    :param rng: NumPy random generator.
    """
    rug = quad((1.28, 5.0, 0.012), (1.85, 0, 0), (0, -2.3, 0), (1, 1))
    room.put('rug', rug)
    room.put('card', box((1.281, 2.701, 0), (3.129, 4.999, 0.011)))
    add_table(room, 'walnut', (1.75, 3.85), (2.75, 4.4, 0.42), 0.045, 0.028)
    vase = [(0, 0), (0.045, 0), (0.065, 0.05), (0.07, 0.10), (0.05, 0.16), (0.028, 0.2),
            (0.034, 0.23), (0.029, 0.23), (0.024, 0.2)]
    room.put('paint', lathe(vase, (2.5, 4.2, 0.42)), (0.55, 0.58, 0.55))
    for k in range(9):
        tip = np.array([2.5, 4.2, 0.95]) + rng.uniform(-1, 1, 3) * (0.16, 0.16, 0.12)
        room.put('leaf', tube((2.5, 4.2, 0.6), tip, 0.003, 0.002, 6), (0.2, 0.12, 0.05))
        for _ in range(7):
            spot = np.array([2.5, 4.2, 0.62]) * (1 - (t := rng.uniform(0.5, 1))) + tip * t
            bud = ball(spot + rng.normal(0, 0.012, 3), rng.uniform(0.009, 0.016), rows=5)
            room.put('leaf', bud, (0.75, 0.35, 0.30) if k % 3 else (0.8, 0.7, 0.6))
    for k, yaw in enumerate((8, -6)):
        body = box((-0.11, -0.15, 0), (0.11, 0.15, 0.02))
        body.uvs[:] = [(30 + 3 * k + 0.5) / 48, 0.995]
        room.put('books', body.moved((2.02, 4.1, 0.42 + 0.0205 * k), yaw))
    add_mug(room, (2.27, 4.02, 0.42), (0.7, 0.68, 0.6), 240)


def add_plant(room, rng, at, height=0.62):
    """
    Add a potted plant with long arching leaves.

    :param room: the collector.
    :param rng: NumPy random generator.
    :param at: ``(x, y)`` of the pot.
    :param height: length scale of the leaves in metres.
    """
    pot = [(0, 0), (0.13, 0), (0.17, 0.28), (0.18, 0.3), (0.18, 0.33), (0.165, 0.33), (0.16, 0.29)]
    room.put('paint', lathe(pot, (*at, 0), 40), (0.46, 0.20, 0.11))
    room.put('leaf', lathe([(0, 0.29), (0.165, 0.29)], (*at, 0)), (0.05, 0.03, 0.02))
    for k in range(34):
        turn = 2.4 * k + rng.uniform(-0.3, 0.3)
        length, spread = height * rng.uniform(0.8, 1.5), rng.uniform(0.15, 0.85)
        t = np.linspace(0, 1, 14)
        reach = spread * length * (0.25 * t + 0.75 * t**2)
        rise = 0.3 + length * (1.25 * t - (0.2 + 0.6 * spread) * t**2.2)
        width = 0.042 * np.sin(np.pi * np.clip(t * 0.93 + 0.07, 0, 1)) ** 0.8
        across = np.linspace(-1, 1, 5)
        grid = np.zeros((14, 5, 3))
        grid[..., 0] = reach[:, None]
        grid[..., 1] = width[:, None] * across
        grid[..., 2] = rise[:, None] + 0.25 * width[:, None] * np.abs(across)
        shade = np.array(GREEN) * rng.uniform(0.6, 1.7) + (0.02 * rng.random(), 0, 0)
        room.put('leaf', sheet(grid).moved((*at, 0), np.degrees(turn)), shade)


def add_sideboard(room, rng):
    """
    Add the sideboard at the right wall with a lamp, books and a radio.

    :param room: the collector.
    :param rng: NumPy random generator.
    """
    x0, x1, y0, y1, top = 4.06, 4.48, 3.55, 5.15, 0.82
    room.put('oak', box((x0, y0, 0.12), (x1, y1, top), (0.2, 0.1)))
    room.put('oak', box((x0 - 0.02, y0 - 0.02, top), (x1, y1 + 0.02, top + 0.03), (0.5, 0.6)))
    for x in (x0 + 0.02, x1 - 0.07):
        for y in (y0 + 0.03, y1 - 0.08):
            room.put('dark', box((x, y, 0), (x + 0.05, y + 0.05, 0.12)), BLACK)
    for k in range(3):
        y = y0 + 0.015 + k * 0.527
        room.put('oak', box((x0 - 0.018, y, 0.15), (x0 - 0.001, y + 0.515, 0.80), (k, 0.37 * k)))
        room.put('metal', ball((x0 - 0.035, y + 0.26, 0.6), 0.014), STEEL)
    add_books(room, rng, (x0 + 0.08, y1 - 0.25, top + 0.03), 0.42, 0.18, (0.17, 0.25), -90)
    radio = (x0 + 0.1, y0 + 0.15, top + 0.03)
    x, y, z = radio
    room.put('walnut', cushion(radio, (x1 - 0.14, y + 0.32, z + 0.2), 0.02, cells=8))
    room.put('dark', box((x - 0.004, y + 0.02, z + 0.03), (x, y + 0.19, z + 0.17)), BLACK)
    room.put('metal', tube((x, y + 0.26, z + 0.12), (x - 0.02, y + 0.26, z + 0.12), 0.022), STEEL)
    vase = [(0, 0), (0.05, 0), (0.08, 0.12), (0.05, 0.26), (0.03, 0.32), (0.04, 0.34)]
    room.put('paint', lathe(vase, (x0 + 0.2, y0 + 0.68, top + 0.03)), (0.40, 0.43, 0.30))


def add_clutter(room, rng):
    """
    Add the cardboard boxes and the waste bin.

    :param room: the collector.
    :param rng: NumPy random generator.
    """
    room.put('card', box((-0.26, -0.19, 0), (0.26, 0.19, 0.34)).moved((0.62, 2.52, 0), 14))
    small = box((-0.19, -0.14, 0), (0.19, 0.14, 0.24), (0.1, 0.3))
    room.put('card', small.moved((0.6, 2.5, 0.34), -9))
    for yaw, z, w in ((14, 0.3405, 0.52), (-9, 0.5805, 0.38)):
        tape = quad((-w / 2, -0.025, 0), (w, 0, 0), (0, 0.05, 0))
        room.put('paint', tape.moved((0.62 - 0.02 * (yaw < 0), 2.52 - 0.02 * (yaw < 0), z), yaw),
                 (0.50, 0.40, 0.26))
    bin_profile = [(0, 0.005), (0.11, 0.005), (0.14, 0.3), (0.146, 0.3), (0.143, 0.31),
                   (0.136, 0.3), (0.107, 0.02)]
    room.put('paint', lathe(bin_profile, (1.22, 2.42, 0), 40), (0.10, 0.13, 0.17))
    for dx, dy, dz in ((0.02, 0.01, 0.24), (-0.05, 0.04, 0.22), (0.05, -0.05, 0.21)):
        crumple = ball((1.22 + dx, 2.42 + dy, dz), 0.05, rows=6)
        crumple.verts += rng.normal(0, 0.006, crumple.verts.shape)
        room.put('paint', crumple, (0.75, 0.75, 0.72))


def add_armchair(room):
    """
    Add the armchair beside the window.

    :param room: the collector.
    """
    seat = Collector()
    seat.put('mustard', cushion((-0.3, -0.32, 0.2), (0.3, 0.3, 0.44), 0.06, 0.025))
    back = cushion((-0.34, 0.0, 0), (0.34, 0.16, 0.62), 0.07, 0.02)
    seat.put('mustard', back.moved((0, 0.2, 0.28), tilt=-14))
    for x in (-0.4, 0.3):
        seat.put('mustard', cushion((x, -0.32, 0.14), (x + 0.1, 0.34, 0.6), 0.04, 0.008))
    for x in (-0.34, 0.34):
        for y in (-0.27, 0.27):
            seat.put('walnut', tube((x, y, 0), (x * 0.95, y * 0.95, 0.2), 0.014, 0.022))
    for material, items in seat.groups.items():
        for part, color in items:
            room.put(material, part.moved((0.72, 4.35, 0), 62), color[0])


def add_lamps(room):
    """
    Add the pendant over the table and the floor lamp beside the sofa.

    :param room: the collector.
    """
    x, y = 3.2, 2.6
    room.put('dark', tube((x, y, 2.0), (x, y, ROOM_HEIGHT), 0.004), BLACK)
    shade = [(0.03, 2.02), (0.05, 2.0), (0.12, 1.93), (0.19, 1.82), (0.2, 1.78)]
    room.put('paint', lathe(shade, (x, y, 0), 48), (0.05, 0.16, 0.16))
    x, y = 3.32, 5.55
    room.put('dark', lathe([(0, 0), (0.14, 0), (0.14, 0.02), (0.015, 0.035)], (x, y, 0)), BLACK)
    room.put('dark', tube((x, y, 0.03), (x, y, 1.5), 0.011), BLACK)
    for z in (1.355, 1.635):
        room.put('paint', lathe([(0.171, z), (0.174, z), (0.174, z + 0.01), (0.171, z + 0.01)],
                                (x, y, 0), 48), (0.35, 0.28, 0.18))
