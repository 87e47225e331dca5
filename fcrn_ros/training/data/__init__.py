"""Samples, their store on disk, and the views of them that training reads."""
