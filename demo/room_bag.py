"""Writer of the demo clip's ROS 2 bag."""
import shutil
import struct

import cv2
import numpy as np
from room_camera import CX, CY, FOCAL, FRAME_ID, HEIGHT, WIDTH
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore


class BagWriter:
    """Writes the four topics of the clip."""

    def __init__(self, folder):
        """
        Create the bag, replacing one that exists.

        :param folder: folder of the bag; the MCAP file in it has the same name.
        """
        if (folder / 'metadata.yaml').exists():
            shutil.rmtree(folder)
        self.store = get_typestore(Stores.ROS2_JAZZY)
        self.types = self.store.types
        self.writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
        self.writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self.writer.open()
        image, info = 'sensor_msgs/msg/CompressedImage', 'sensor_msgs/msg/CameraInfo'
        self.links = {
            topic: self.writer.add_connection(topic, kind, typestore=self.store)
            for topic, kind in (('/camera/color/image_raw/compressed', image),
                                ('/camera/color/camera_info', info),
                                ('/camera/depth/image_raw/compressedDepth', image),
                                ('/camera/depth/camera_info', info))}

    def header(self, stamp):
        """
        Make a message header.

        :param stamp: time in nanoseconds.
        :return: the header.
        """
        time_type = self.types['builtin_interfaces/msg/Time']
        return self.types['std_msgs/msg/Header'](
            time_type(stamp // 10**9, stamp % 10**9), FRAME_ID)

    def info(self, stamp):
        """
        Make the camera info.

        :param stamp: time in nanoseconds.
        :return: the message.
        """
        k = np.array([FOCAL, 0, CX, 0, FOCAL, CY, 0, 0, 1])
        p = np.array([FOCAL, 0, CX, 0, 0, FOCAL, CY, 0, 0, 0, 1, 0])
        roi = self.types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
        return self.types['sensor_msgs/msg/CameraInfo'](
            self.header(stamp), HEIGHT, WIDTH, 'plumb_bob', np.zeros(5), k, np.eye(3).ravel(), p,
            0, 0, roi)

    def write(self, stamp, rgb, depth_mm, quality):
        """
        Write the four messages of a frame.

        :param stamp: time in nanoseconds.
        :param rgb: ``uint8`` RGB image.
        :param depth_mm: ``uint16`` depth in millimetres.
        :param quality: JPEG quality.
        """
        jpeg = cv2.imencode('.jpg', rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        png = cv2.imencode('.png', depth_mm, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
        config = np.frombuffer(struct.pack('<iff', 0, 0.0, 0.0), np.uint8)
        image = self.types['sensor_msgs/msg/CompressedImage']
        info = self.info(stamp)
        messages = (image(self.header(stamp), 'rgb8; jpeg compressed bgr8', jpeg.ravel()), info,
                    image(self.header(stamp), '16UC1; compressedDepth png',
                          np.concatenate([config, png.ravel()])), info)
        for link, message in zip(self.links.values(), messages, strict=True):
            data = self.store.serialize_cdr(message, link.msgtype)
            self.writer.write(link, stamp, data)

    def close(self):
        """Finish the bag."""
        self.writer.close()
