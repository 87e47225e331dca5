"""Metric scale over time: the network's flicker, the floor, and what is kept of them."""
