"""
Render the bundled demo clip: a furnished room with exact depth, as a ROS 2 bag.

Everything (shapes, textures, lights, camera path) is made by code from fixed seeds; nothing is
downloaded.  The scene is path traced with Mitsuba 3 and denoised by an edge-avoiding filter;
depth is traced separately, one ray through the centre of every pixel.

    python demo/render_room.py --out demo/room [--spp N] [--frames N] [--preview FOLDER]

This script is not needed at run time of the package.  It needs mitsuba, numpy,
opencv-python-headless and rosbags, and an LLVM shared library (15 is too old for Mitsuba 3.9,
19 works); if it is not found, set DRJIT_LIBLLVM_PATH to the library's file.
"""
import argparse
import time
from pathlib import Path

import cv2
import mitsuba as mi
import numpy as np
from room_bag import BagWriter
from room_camera import CX, CY, FOCAL, HEIGHT, WIDTH, camera_pose
from room_image import denoise, develop, expose, gather

mi.set_variant('llvm_ad_rgb')

import room_scene  # noqa: E402  (needs the variant)

RATE, START_NS = 30, 1_700_000_000 * 10**9


def make_sensor(pose):
    """
    Make the Mitsuba camera for a pose.

    The pixel centre convention is that of ROS: the centre of the top-left pixel is (0, 0), so the
    principal point lies half a pixel further in Mitsuba's corner convention.

    :param pose: 4x4 matrix from the optical frame to the room.
    :return: the sensor.
    """
    to_world = pose @ np.diag([-1.0, -1.0, 1.0, 1.0])
    return mi.load_dict({
        'type': 'perspective',
        'fov': float(np.degrees(2 * np.arctan(WIDTH / (2 * FOCAL)))), 'fov_axis': 'x',
        'principal_point_offset_x': 0.5 - (CX + 0.5) / WIDTH,
        'principal_point_offset_y': 0.5 - (CY + 0.5) / HEIGHT,
        'near_clip': 0.01, 'far_clip': 100.0,
        'to_world': mi.ScalarTransform4f(to_world),
        'film': {'type': 'hdrfilm', 'width': WIDTH, 'height': HEIGHT, 'pixel_format': 'rgb',
                 'component_format': 'float32', 'rfilter': {'type': 'box'}},
        'sampler': {'type': 'independent'}})


def trace_geometry(scene, sensor, pose):
    """
    Trace one ray through every pixel centre.

    :param scene: the scene.
    :param sensor: the camera.
    :param pose: 4x4 matrix from the optical frame to the room.
    :return: depth along the optical axis in metres, position and normal images, and the error in
        metres of every pixel when it is lifted by the intrinsics and compared with the point the
        ray hit.
    """
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    film = mi.Point2f(((u.ravel() + 0.5) / WIDTH).astype(np.float32),
                      ((v.ravel() + 0.5) / HEIGHT).astype(np.float32))
    ray, _ = sensor.sample_ray(0.0, 0.5, film, mi.Point2f(0.5))
    hit = scene.ray_intersect(ray)
    assert np.array(hit.is_valid()).all(), 'a ray left the room'
    world = np.array(hit.p, np.float64).reshape(3, -1)
    local = pose[:3, :3].T @ (world - pose[:3, 3:])
    depth = local[2]
    lifted = np.stack([(u.ravel() - CX) / FOCAL, (v.ravel() - CY) / FOCAL, np.ones(u.size)])
    error = np.linalg.norm(pose[:3, :3] @ (lifted * depth) + pose[:3, 3:] - world, axis=0)
    position, normal = (np.ascontiguousarray(x.T.reshape(HEIGHT, WIDTH, 3), np.float32)
                        for x in (world, np.array(hit.sh_frame.n).reshape(3, -1)))
    return depth.reshape(HEIGHT, WIDTH), position, normal, error


def check_projection(pose):
    """
    Render small bright balls at known points and compare them with their projections.

    This tests the path that makes the colour image, independently of the depth rays.

    :param pose: 4x4 matrix from the optical frame to the room.
    :return: greatest distance in pixels between a ball's centroid and the projected point.
    """
    pixels = np.array([[60, 50], [580, 60], [320, 240], [70, 420], [570, 430]], float)
    depths = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    local = np.c_[(pixels - (CX, CY)) / FOCAL, np.ones(5)] * depths[:, None]
    scene, white = {'type': 'scene'}, {'type': 'rgb', 'value': 1.0}
    for k, point in enumerate(local @ pose[:3, :3].T + pose[:3, 3]):
        scene[f'ball{k}'] = {'type': 'sphere', 'center': point.tolist(),
                             'radius': float(0.004 * depths[k]),
                             'emitter': {'type': 'area', 'radiance': white}}
    image = np.array(mi.render(mi.load_dict(scene), sensor=make_sensor(pose), spp=256,
                               integrator=mi.load_dict({'type': 'direct'})))[..., 0]
    errors = []
    for u, v in pixels.astype(int):
        patch = image[v - 8:v + 9, u - 8:u + 9]
        dv, du = np.mgrid[-8:9, -8:9]
        centre = np.array([(patch * du).sum(), (patch * dv).sum()]) / patch.sum()
        errors.append(np.hypot(*centre))
    return max(errors)


def trace_light(scene, sensor, spp, seed):
    """
    Path trace one noisy image, with the reflectance of the surfaces divided out.

    Both images are made from the same sub-pixel positions (same seed), so the quotient is the
    illumination and the product is the image again, with its textures and edges.  A constant for
    the gloss is added to the reflectance, so that dark glossy things do not look overlit.

    :param scene: the scene.
    :param sensor: the camera.
    :param spp: samples per pixel.
    :param seed: seed of the sampler.
    :return: illumination and reflectance images.
    """
    path = mi.load_dict({'type': 'path', 'max_depth': 9, 'rr_depth': 3})
    aov = mi.load_dict({'type': 'aov', 'aovs': 'albedo:albedo'})
    radiance, albedo = (
        np.nan_to_num(np.array(mi.render(scene, sensor=sensor, integrator=integrator, spp=spp,
                                         seed=seed)).astype(np.float32))[..., :3]
        for integrator in (path, aov))
    albedo = albedo + 0.05
    light = np.minimum(radiance, 30.0) / albedo
    lum = light.mean(2)
    around = np.median([np.roll(lum, s, a) for a in (0, 1) for s in (-1, 0, 1)], axis=0)
    light *= np.minimum(1.0, 4.0 * (around + 0.05) / (lum + 1e-6))[..., None]
    return light, albedo


def render_frames(count, spp, began):
    """
    Trace all frames and verify their geometry.

    :param count: number of frames.
    :param spp: samples per pixel.
    :param began: start time, for the log.
    :return: list of dicts with pose, light, albedo, depth, position, normal.
    """
    scene, frames = room_scene.build_scene(), []
    print(f'mitsuba {mi.__version__}, {spp} spp, scene built in {time.time() - began:.1f} s')
    shift = check_projection(camera_pose(0.0))
    print(f'colour projection check: greatest error {shift:.3f} px')
    assert shift < 0.05, 'colour image and intrinsics disagree'
    worst = 0.0
    for k in range(count):
        pose = camera_pose(k / max(count - 1, 1))
        sensor = make_sensor(pose)
        depth, position, normal, error = trace_geometry(scene, sensor, pose)
        assert error.max() < 1e-3, f'frame {k}: lifted depth is off by {error.max()} m'
        worst = max(worst, error.max())
        light, albedo = trace_light(scene, sensor, spp, k)
        frames.append({'pose': pose, 'light': light, 'albedo': albedo, 'depth': depth,
                       'position': position, 'normal': normal})
        print(f'frame {k}: depth {depth.min():.3f}/{np.median(depth):.3f}/{depth.max():.3f} m, '
              f'lift error median {np.median(error):.1e} max {error.max():.1e} m, '
              f'{time.time() - began:.0f} s', flush=True)
    depth = np.stack([f['depth'] for f in frames])
    print(f'depth min/median/max {depth.min():.3f}/{np.median(depth):.3f}/{depth.max():.3f} m, '
          f'worst lift error {worst:.1e} m')
    return frames


def main():
    """Render the clip and print what the verification found."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--out', type=Path, default=Path(__file__).parent / 'room',
                        help='folder of the bag')
    parser.add_argument('--spp', type=int, default=8, help='samples per pixel and frame')
    parser.add_argument('--frames', type=int, default=60)
    parser.add_argument('--quality', type=int, default=70, help='JPEG quality')
    parser.add_argument('--preview', type=Path, help='folder for PNG files of the frames')
    args = parser.parse_args()
    began = time.time()
    frames = render_frames(args.frames, args.spp, began)
    bag, exposure = BagWriter(args.out), None
    for k, frame in enumerate(frames):
        light = denoise(gather(frames, k), frame['normal'], frame['position'])
        radiance = light * frame['albedo']
        exposure = exposure or expose(radiance)
        rgb = develop(radiance, exposure, np.random.default_rng(k))
        bag.write(START_NS + k * 10**9 // RATE, rgb,
                  np.round(frame['depth'] * 1000).astype(np.uint16), args.quality)
        if args.preview:
            args.preview.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(args.preview / f'{k:03d}.png'), rgb[..., ::-1])
    bag.close()
    print(f'wrote {args.out}, exposure {exposure:.3f}, total {time.time() - began:.0f} s')


if __name__ == '__main__':
    main()
