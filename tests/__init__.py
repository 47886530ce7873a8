"""Tests mirror the package. What they need of the environment is set here, ahead of every import."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # no test reaches for the network
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for tiny models, threads that wait for each other are all cost
