"""The network, its weights on disk, and the form it takes for inference."""
