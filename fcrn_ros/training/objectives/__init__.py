"""What training asks of the network: the terms of the loss."""
