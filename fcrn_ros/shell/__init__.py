"""What the node is made of: a camera's topics, the way of its frames, what is said of them."""
