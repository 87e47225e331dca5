"""A page in the browser that shows what the camera sees and what is made of it, live."""
