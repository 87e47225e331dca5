"""From recorded images and depth to a model on disk. Needs the ``train`` extra; the node does not."""
