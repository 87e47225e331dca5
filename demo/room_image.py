"""Image processing of the demo clip: denoising, exposure and development."""
import cv2
import numpy as np
from room_camera import CX, CY, FOCAL, HEIGHT, WIDTH

B3_KERNEL = np.array([1, 4, 6, 4, 1], np.float32) / 16


def gather(frames, index, reach=6):
    """
    Average the illumination of a frame with what its neighbours saw of the same surfaces.

    :param frames: list of dicts with pose, light, depth, position and normal.
    :param index: number of the frame.
    :param reach: number of neighbours before and after.
    :return: illumination with less noise.
    """
    frame = frames[index]
    total, weight = frame['light'].copy(), np.ones((HEIGHT, WIDTH, 1), np.float32)
    for other in frames[max(index - reach, 0):index + reach + 1]:
        if other is frame:
            continue
        rot, origin = (other['pose'][:3, k].astype(np.float32) for k in (slice(3), 3))
        local = (frame['position'] - origin) @ rot
        u = np.rint(FOCAL * local[..., 0] / local[..., 2] + CX).astype(int)
        v = np.rint(FOCAL * local[..., 1] / local[..., 2] + CY).astype(int)
        inside = (u >= 0) & (u < WIDTH) & (v >= 0) & (v < HEIGHT)
        u, v = np.where(inside, u, 0), np.where(inside, v, 0)
        plane = ((other['position'][v, u] - frame['position']) * frame['normal']).sum(2)
        turn = (other['normal'][v, u] * frame['normal']).sum(2)
        same = (inside & (np.abs(plane) < 0.01) & (turn > 0.9))[..., None]
        total += np.where(same, other['light'][v, u], 0)
        weight += same
    return total / weight


def near(image, dx, dy):
    """
    Shift an image, repeating its border.

    :param image: the image.
    :param dx: shift along u in pixels.
    :param dy: shift along v in pixels.
    :return: the shifted image.
    """
    shift = np.float32([[1, 0, dx], [0, 1, dy]])
    return cv2.warpAffine(image, shift, (WIDTH, HEIGHT), flags=cv2.INTER_NEAREST,
                          borderMode=cv2.BORDER_REPLICATE)


def denoise(light, normal, position, strength=0.35, levels=3):
    """
    Smooth the illumination with an edge-avoiding wavelet filter.

    :param light: illumination image.
    :param normal: normal of the visible surface.
    :param position: its position.
    :param strength: step of the log brightness that still counts as noise at the first level.
    :param levels: number of levels, each twice as wide as the one before.
    :return: smoothed illumination.
    """
    for level in range(levels):
        step, sigma = 1 << level, strength / (1 << level)
        total, weight = np.zeros_like(light), np.zeros(light.shape[:2], np.float32)
        lum = np.log(cv2.GaussianBlur(light, (0, 0), 1.0).mean(2) + 0.02)
        for i, j in np.ndindex(5, 5):
            dx, dy = (j - 2) * step, (i - 2) * step
            turn = ((near(normal, dx, dy) - normal) ** 2).sum(2) / 0.02
            plane = np.abs(((near(position, dx, dy) - position) * normal).sum(2)) / 0.01
            tone = ((near(lum, dx, dy) - lum) / sigma) ** 2
            w = B3_KERNEL[i] * B3_KERNEL[j] * np.exp(-turn - plane - tone)
            total += near(light, dx, dy) * w[..., None]
            weight += w
        light = total / weight[..., None]
    return light


def expose(radiance, key=0.17):
    """
    Choose the exposure as a camera's automatic would.

    :param radiance: linear image.
    :param key: value the average scene tone is brought to.
    :return: factor.
    """
    return key / np.exp(np.log(radiance.mean(2) + 0.01).mean())


def develop(radiance, exposure, rng):
    """
    Turn linear radiance into an sRGB photograph with a little sensor noise.

    :param radiance: linear image.
    :param exposure: factor.
    :param rng: NumPy random generator of the sensor noise.
    :return: ``uint8`` RGB image.
    """
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH]
    radius2 = ((u - CX) ** 2 + (v - CY) ** 2) / (CX**2 + CY**2)
    linear = radiance * exposure * (1 - 0.18 * radius2)[..., None] * [1.04, 1.0, 0.93]
    linear = np.maximum(linear + rng.normal(0, 1, linear.shape) * np.sqrt(
        1e-6 + 3e-5 * np.maximum(linear, 0)), 0)
    curve = linear * (2.51 * linear * 0.6 + 0.03 + 0.4) / (
        linear * (2.43 * linear * 0.6 + 0.59) + 0.14 + 0.25)
    curve = curve ** 1.12
    curve = 0.86 * curve + 0.14 * (curve @ [0.2126, 0.7152, 0.0722])[..., None]
    srgb = np.where(curve <= 0.0031308, 12.92 * curve,
                    1.055 * np.maximum(curve, 1e-9) ** (1 / 2.4) - 0.055)
    return (np.clip(srgb, 0, 1) * 255 + 0.5).astype(np.uint8)
