"""Procedural textures of the demo room: every function returns an sRGB ``uint8`` image."""
import cv2
import numpy as np


def noise(shape, cells, rng, octaves=4, gain=0.5):
    """
    Make tileable value noise with zero mean and unit deviation.

    :param shape: ``(height, width)`` in pixels.
    :param cells: ``(rows, columns)`` of the coarsest random grid.
    :param rng: NumPy random generator.
    :param octaves: number of grids, each twice as fine as the one before.
    :param gain: weight of an octave relative to the one before.
    :return: ``float32`` image.
    """
    h, w = shape
    total = np.zeros(shape, np.float32)
    for k in range(octaves):
        rows, cols = min(cells[0] << k, h), min(cells[1] << k, w)
        grid = np.pad(rng.standard_normal((rows, cols)).astype(np.float32), 2, mode='wrap')
        y = (np.arange(h, dtype=np.float32) + 0.5) * rows / h + 1.5
        x = (np.arange(w, dtype=np.float32) + 0.5) * cols / w + 1.5
        map_x, map_y = np.meshgrid(x, y)
        total += gain**k * cv2.remap(grid, map_x, map_y, cv2.INTER_CUBIC)
    return (total - total.mean()) / (total.std() + 1e-9)


def finish(image):
    """
    Clip and quantise an image.

    :param image: sRGB image with values from 0 to 1.
    :return: ``uint8`` image.
    """
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def tint(color, field, amount):
    """
    Modulate one colour by a scalar field.

    :param color: sRGB colour from 0 to 1.
    :param field: image with unit deviation.
    :param amount: relative strength.
    :return: colour image.
    """
    return np.asarray(color, np.float32) * (1 + amount * field[..., None])


def grain(size, color, rng, contrast=0.12):
    """
    Make plain wood with the grain along u, one tile of 1 m by 1 m.

    :param size: edge in pixels.
    :param color: mean sRGB colour.
    :param rng: NumPy random generator.
    :param contrast: strength of the grain.
    :return: image.
    """
    warp = noise((size, size), (3, 1), rng, 3)
    fine = noise((size, size), (90, 2), rng, 3, 0.7)
    v = np.linspace(0, 1, size, endpoint=False, dtype=np.float32)[:, None]
    rings = np.sin(2 * np.pi * (14 * v + 1.1 * warp))
    field = 0.55 * rings + 0.7 * fine
    image = tint(color, field, contrast)
    image[..., 2] *= 1 - 0.05 * field
    return finish(image)


def planks(rng, size=(4.5, 6.0), pixels=400, width=0.125):
    """
    Make a strip floor with the boards along v.

    :param rng: NumPy random generator.
    :param size: floor size in metres.
    :param pixels: pixels per metre.
    :param width: width of a board in metres.
    :return: image of the whole floor.
    """
    w, h = (round(s * pixels) for s in size)
    fine = noise((h, w), (8, 300), rng, 3, 0.7)
    broad = noise((h, w), (4, 60), rng, 2)
    image = np.zeros((h, w, 3), np.float32)
    step = round(width * pixels)
    for x in range(0, w, step):
        y = -int(rng.uniform(0, 1.2) * pixels)
        while y < h:
            length = int(rng.uniform(0.7, 1.5) * pixels)
            rows, cols = slice(max(y, 0), max(y + length, 0)), slice(x, x + step)
            tone = np.array([0.60, 0.41, 0.25]) * rng.uniform(0.82, 1.14)
            tone[2] *= rng.uniform(0.9, 1.08)
            shift = int(rng.integers(0, h))
            field = 0.6 * np.roll(fine, shift, 0)[rows, cols] + 0.5 * broad[rows, cols]
            image[rows, cols] = tint(tone, field, 0.085)
            image[rows, x:x + 1] *= 0.5
            image[max(y, 0):max(y + 1, 0), cols] *= 0.5
            y += length
    return finish(image)


def plaster(rng, color, size=1024, amount=0.02):
    """
    Make a painted wall, one tile of 3 m by 3 m.

    :param rng: NumPy random generator.
    :param color: mean sRGB colour.
    :param size: edge in pixels.
    :param amount: strength of the variation.
    :return: image.
    """
    field = noise((size, size), (4, 4), rng, 4, 0.6)
    field = field + 0.5 * noise((size, size), (200, 200), rng, 2)
    return finish(tint(color, field, amount))


def wallpaper(rng, size=512):
    """
    Make a wallpaper with leaf sprigs, one tile of 0.36 m by 0.36 m.

    :param rng: NumPy random generator.
    :param size: edge in pixels.
    :return: image.
    """
    scale = size / 512
    image = np.full((size, size, 3), (0.70, 0.69, 0.60), np.float32)
    for cx, cy, side in ((128, 128, 1), (384, 384, -1)):
        for k in range(7):
            t = (k - 3) / 3
            for leaf in (-1, 1):
                at = (int((cx + leaf * 34 + side * 30 * t * t) * scale),
                      int((cy + t * 100) * scale))
                tone = (0.50, 0.56, 0.47) if (k + leaf) % 3 else (0.60, 0.50, 0.38)
                axes = (int(36 * scale), int(11 * scale))
                cv2.ellipse(image, at, axes, leaf * 38 * side, 0, 360, tone, -1, cv2.LINE_AA)
        end = (int((cx + side * 30) * scale), int((cy + 125) * scale))
        start = (int((cx + side * 30) * scale), int((cy - 125) * scale))
        mid = (int(cx * scale), int(cy * scale))
        for tip in (start, end):
            cv2.line(image, mid, tip, (0.52, 0.50, 0.40), max(2, int(5 * scale)), cv2.LINE_AA)
    return finish(image * (1 + 0.02 * noise((size, size), (64, 64), rng, 3)[..., None]))


def bricks(rng, pixels=512):
    """
    Make a brick wall, one tile of 0.9 m by 0.6 m (four bricks by eight courses).

    :param rng: NumPy random generator.
    :param pixels: image height.
    :return: image.
    """
    h, w = pixels, pixels * 3 // 2
    image = tint((0.70, 0.66, 0.60), noise((h, w), (40, 60), rng, 3), 0.05)
    rough = noise((h, w), (24, 36), rng, 4, 0.7)
    bh, bw, gap = h // 8, w // 4, max(3, h // 72)
    for row in range(8):
        for col in range(4):
            x = col * bw + (bw // 2) * (row % 2)
            tone = np.array([0.63, 0.38, 0.29]) * rng.uniform(0.78, 1.15)
            tone[1:] *= rng.uniform(0.95, 1.12)
            ys = slice(row * bh + gap // 2, (row + 1) * bh - gap // 2)
            xs = np.arange(x + gap // 2, x + bw - gap // 2) % w
            patch = tint(tone, rough[ys][:, xs], 0.07)
            patch[:2] *= 1.1
            patch[-3:] *= 0.75
            image[ys, xs] = patch
    return finish(cv2.GaussianBlur(image, (0, 0), 1.0))


def weave(rng, color, size=512, threads=110, contrast=0.16):
    """
    Make a plain-weave cloth, one tile of 0.4 m by 0.4 m.

    :param rng: NumPy random generator.
    :param color: mean sRGB colour.
    :param size: edge in pixels.
    :param threads: threads along an edge.
    :param contrast: strength of the threads.
    :return: image.
    """
    t = np.arange(size) * threads / size
    over = np.where((np.floor(t)[:, None] + np.floor(t)[None]) % 2 == 0, 1.0, -1.0)
    profile = np.abs(np.sin(np.pi * t))
    field = over * 0.5 + profile[:, None] + profile[None] - 1.2
    field = field + 0.3 * noise((size, size), (8, 8), rng, 4, 0.8)
    return finish(tint(color, field.astype(np.float32), contrast))


def stripes(rng, colors, size=512):
    """
    Make a striped cloth, one tile of 0.4 m by 0.4 m.

    :param rng: NumPy random generator.
    :param colors: sRGB colours of the stripes.
    :param size: edge in pixels.
    :return: image.
    """
    edges = np.linspace(0, size, len(colors) + 1).astype(int)
    image = np.zeros((size, size, 3), np.float32)
    for color, a, b in zip(colors, edges[:-1], edges[1:], strict=True):
        image[:, a:b] = color
    return finish(image * (1 + 0.07 * noise((size, size), (120, 120), rng, 2)[..., None]))


def rug(rng, size=(1024, 768)):
    """
    Make an oriental-looking rug with borders and lozenges.

    :param rng: NumPy random generator.
    :param size: ``(height, width)`` in pixels.
    :return: image of the whole rug.
    """
    h, w = size
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    edge = np.minimum(np.minimum(x, w - 1 - x), np.minimum(y, h - 1 - y))
    red, navy, cream, gold = (np.array(c, np.float32) for c in (
        (0.50, 0.17, 0.14), (0.16, 0.19, 0.30), (0.80, 0.73, 0.60), (0.68, 0.50, 0.27)))
    lozenge = np.abs((x - w / 2) / 120 % 2 - 1) + np.abs((y - h / 2) / 120 % 2 - 1)
    image = np.where((lozenge < 0.55)[..., None], navy, red)
    image = np.where((np.abs(lozenge - 0.62) < 0.06)[..., None], cream, image)
    image = np.where((lozenge < 0.22)[..., None], gold, image)
    zig = np.abs((x + y) / 26 % 2 - 1) + np.abs((x - y) / 26 % 2 - 1)
    border = np.where((zig < 0.75)[..., None], cream, navy)
    image = np.where((edge < 92)[..., None], border, image)
    for a, b, color in ((84, 96, gold), (20, 30, cream), (0, 20, red)):
        image = np.where(((edge >= a) & (edge < b))[..., None], color, image)
    pile = 0.07 * noise((h, w), (200, 150), rng, 2) + 0.05 * noise((h, w), (6, 6), rng, 3)
    return finish(image * (1 + pile[..., None]))


def painting(rng, palette, size=(480, 360)):
    """
    Make an abstract picture of overlapping washes with a pale margin.

    :param rng: NumPy random generator.
    :param palette: sRGB colours, the first is the ground.
    :param size: ``(height, width)`` in pixels.
    :return: image.
    """
    h, w = size
    image = tint(palette[0], noise((h, w), (3, 3), rng, 4), 0.08)
    for _ in range(16):
        color = np.array(palette[1 + int(rng.integers(len(palette) - 1))], np.float32)
        mask = np.zeros((h, w), np.float32)
        centre = (int(rng.uniform(0, w)), int(rng.uniform(0.1, 1) * h))
        axes = (int(rng.uniform(0.06, 0.4) * w), int(rng.uniform(0.03, 0.2) * h))
        cv2.ellipse(mask, centre, axes, rng.uniform(-30, 30), 0, 360, 1.0, -1, cv2.LINE_AA)
        mask *= np.clip(0.8 + 0.15 * noise((h, w), (5, 20), rng, 4), 0, 1)
        image = image * (1 - mask[..., None]) + color * mask[..., None]
    margin = h // 10
    framed = np.full((h, w, 3), 0.9, np.float32)
    framed[margin:-margin, margin:-margin] = image[margin:-margin, margin:-margin]
    return finish(framed)


def spines(rng, count=48, cell=(256, 48)):
    """
    Make an atlas of book spines, side by side.

    :param rng: NumPy random generator.
    :param count: number of spines.
    :param cell: ``(height, width)`` of one spine in pixels.
    :return: image with ``count`` columns.
    """
    h, w = cell
    columns = []
    for _ in range(count):
        hue = rng.normal(8, 16) % 180 if rng.random() < 0.55 else rng.uniform(0, 180)
        sat = rng.choice([30, 90, 150], p=[0.35, 0.4, 0.25])
        hsv = np.uint8([[[int(hue), int(sat), int(rng.choice([70, 130, 190, 225]))]]])
        color = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] / 255.0
        spine = np.full((h, w, 3), color, np.float32)
        ink = (0.93, 0.9, 0.8) if color.mean() < 0.5 else (0.1, 0.1, 0.12)
        for at in rng.uniform(0.05, 0.95, int(rng.integers(1, 4))):
            spine[int(at * h):int(at * h) + int(rng.integers(2, 9))] = ink
        if rng.random() < 0.4:
            spine[int(0.12 * h):int(0.3 * h)] = rng.uniform(0.2, 0.9, 3)
        start = int(rng.uniform(0.3, 0.45) * h)
        for y in range(start, start + int(rng.uniform(0.2, 0.45) * h), 9):
            if rng.random() < 0.85:
                lo = int(rng.uniform(0.2, 0.35) * w)
                cv2.rectangle(spine, (lo, y), (w - lo, y + 5), ink, -1)
        round_off = 1 - 0.35 * np.abs(np.linspace(-1, 1, w)) ** 3
        columns.append(spine * round_off[None, :, None])
    return finish(np.concatenate(columns, axis=1))


def cardboard(rng, size=512):
    """
    Make corrugated cardboard, one tile of 0.5 m by 0.5 m.

    :param rng: NumPy random generator.
    :param size: edge in pixels.
    :return: image.
    """
    field = noise((size, size), (80, 8), rng, 2) + 0.9 * noise((size, size), (5, 5), rng, 4)
    return finish(tint((0.66, 0.53, 0.40), field, 0.014))


def outdoors(rng, size=(256, 256)):
    """
    Make a blurred view of sky, trees and a lawn for the window.

    :param rng: NumPy random generator.
    :param size: ``(height, width)`` in pixels.
    :return: image, the sky at the top.
    """
    h, w = size
    y = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
    sky = (1 - y) * np.array([0.80, 0.90, 1.0], np.float32) + y * np.array([0.96, 0.97, 1.0])
    sky = np.broadcast_to(sky, (h, w, 3))
    trees = np.clip(tint((0.45, 0.56, 0.34), noise((h, w), (6, 6), rng, 4, 0.7), 0.25), 0, 1)
    line = 0.5 + 0.08 * noise((1, w), (1, 4), rng, 4)[0]
    mask = cv2.GaussianBlur((y[..., 0] > line[None]).astype(np.float32), (0, 0), 3)[..., None]
    return finish(cv2.GaussianBlur(sky * (1 - mask) + trees * mask, (0, 0), 2))
