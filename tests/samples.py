"""What several tests are about."""

from typing import Any

WEAK: dict[str, Any] = {  # thresholds; best accuracy accepts more strangers than the rates asked for
    "best_accuracy": {"threshold": 1.10, "far": 0.12, "val": 0.8},
    "far_1e-2": {"threshold": 0.83, "far": 0.0097, "val": 0.34},
    "far_1e-3": {"threshold": 0.61, "far": 0.001, "val": 0.08},
    "data": "model_data/lfw_pairs.txt of lfw",
    "pairs": 6000,
    "flip": "none",
}
