"""What a robot's navigation has to know of a camera: the costmap of Nav2, written and checked."""
