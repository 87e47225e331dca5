"""From recorded images and depth to a model on disk; needs the ``train`` extra."""
