"""Where samples come from: bags, data sets, folders."""
