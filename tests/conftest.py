"""Before any test imports Keras: the environment that `start_keras` gives the scripts."""

import os

from utils.backend import SETTINGS

for name, value in SETTINGS.items():
    os.environ.setdefault(name, value)
