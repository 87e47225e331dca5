"""Models against recorded depth: ``fcrn evaluate``."""
