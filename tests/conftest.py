import os

import torch
from hypothesis import settings

# Several threads wait for each other on a busy machine, and networks as small as those of the tests gain nothing.
torch.set_num_threads(1)

# No deadline, because how busy a machine is says nothing about the code.
settings.register_profile("trilift", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("trilift")
