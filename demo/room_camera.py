"""
Intrinsics and path of the demo clip's camera.

The centre of the top-left pixel is (0, 0), as in ROS and OpenCV.
"""
import numpy as np

WIDTH, HEIGHT, FOCAL, CX, CY = 640, 480, 568.0, 323.5, 236.0
FRAME_ID = 'camera_color_optical_frame'


def camera_pose(t):
    """
    Return the pose of the hand-held camera.

    :param t: time from 0 (start) to 1 (end).
    :return: 4x4 matrix from the optical frame (x right, y down, z forward) to the room.
    """
    ease = t + 0.12 * np.sin(2 * np.pi * t) / (2 * np.pi)
    sway = [np.sin(2 * np.pi * (f * t + p)) for f, p in ((1.1, 0.1), (1.7, 0.5), (2.6, 0.8))]
    position = np.array([2.42 - 0.42 * ease, 0.40 + 0.30 * ease, 1.25])
    position += np.array([0.004 * sway[1], 0.003 * sway[2], 0.006 * sway[0]])
    yaw = np.radians(10.5 - 12.0 * ease + 0.20 * sway[1])
    pitch = np.radians(-11.0 + 0.8 * ease + 0.25 * sway[0])
    roll = np.radians(0.6 + 0.25 * sway[2])
    forward = np.array([-np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    down = np.cross(forward, right)
    right, down = (np.cos(roll) * right + np.sin(roll) * down,
                   np.cos(roll) * down - np.sin(roll) * right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, down, forward, position], axis=1)
    return pose
