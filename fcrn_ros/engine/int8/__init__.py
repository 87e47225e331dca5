"""The network in bytes: calibrated, quantised, and held to what it costs."""
