"""Monocular metric depth for ROS 2: one colour camera in, depth images and point clouds in metres out."""

__version__ = '0.1.0'
