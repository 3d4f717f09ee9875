import torch

# Several threads wait for each other on a busy machine, and networks as small as those of the tests gain nothing.
torch.set_num_threads(1)
