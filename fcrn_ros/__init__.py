"""Monocular metric depth for ROS 2: a colour camera in, depth and points in metres out."""

__version__ = '0.1.0'
