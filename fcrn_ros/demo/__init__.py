"""The whole system on a clip: a camera, the node in its own process, and what it published."""
