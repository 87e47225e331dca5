"""The commands of ``fcrn``: a module each, with ``add_arguments`` and ``run``."""
