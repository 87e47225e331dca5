"""What lenses do to rays, and the pinhole pictures that are made of what they see."""
