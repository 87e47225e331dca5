"""What depth tells of the space around: obstacles, free space, a scan."""
