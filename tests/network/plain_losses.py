"""Metric losses as plain loops, and the vectors that they are compared on."""

import numpy as np

from tests.network.differentiation import unit_vectors

LABELS = np.array([0, 1, 1, 2, 0, 3, 1, 2, 4, 0, 3, -1, 2, -1, 5], "int32")  # 4 and 5 have no positive; -1 is nobody


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))


def clustered(labels: np.ndarray, spread: float, seed: int = 0) -> np.ndarray:
    """Unit vectors around a point for each person: some triples violate a margin, some do not."""
    centres = unit_vectors(10, seed)
    vectors = centres[labels] + spread * unit_vectors(len(labels), seed + 1)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("float32")


def pairs(labels: np.ndarray) -> list[tuple[int, int, list[int]]]:
    """(anchor, positive, negatives) in plain Python."""
    known = [i for i, label in enumerate(labels) if label >= 0]
    return [
        (a, p, [n for n in known if labels[n] != labels[a]])
        for a in known
        for p in known
        if a != p and labels[a] == labels[p]
    ]


def average(terms: list[float], of: int | None = None) -> tuple[float, float]:
    active = [term for term in terms if term > 0]
    return (sum(active) / len(active) if active else 0.0), (len(active) / (of or len(terms)) if terms else 0.0)


def plain_triplet(labels: np.ndarray, embeddings: np.ndarray, margin: float) -> tuple[float, float]:
    count = len(embeddings) // 3
    triples = [(i, count + i, 2 * count + i) for i in range(count)]
    triples = [t for t in triples if min(labels[k] for k in t) >= 0]
    e = embeddings
    return average([distance(e[a], e[p]) - distance(e[a], e[n]) + margin for a, p, n in triples])


def plain_semi_hard(labels: np.ndarray, embeddings: np.ndarray, margin: float) -> tuple[float, float]:
    terms = []
    for a, p, negatives in pairs(labels):
        near = distance(embeddings[a], embeddings[p])
        far = [distance(embeddings[a], embeddings[n]) for n in negatives]
        if far:
            farther = [d for d in far if d > near]
            terms.append(near - (min(farther) if farther else max(far)) + margin)
    return average(terms)


def plain_batch_hard(labels: np.ndarray, embeddings: np.ndarray, margin: float) -> tuple[float, float]:
    terms = []
    for anchor in range(len(labels)):
        of_anchor = [(p, negatives) for a, p, negatives in pairs(labels) if a == anchor]
        if of_anchor and of_anchor[0][1]:
            near = max(distance(embeddings[anchor], embeddings[p]) for p, _ in of_anchor)
            far = min(distance(embeddings[anchor], embeddings[n]) for n in of_anchor[0][1])
            terms.append(near - far + margin)
    mean, share = average(terms)
    return mean * share, share


def plain_batch_all(labels: np.ndarray, embeddings: np.ndarray, margin: float) -> tuple[float, float]:
    e = embeddings
    return average(
        [distance(e[a], e[p]) - distance(e[a], e[n]) + margin for a, p, negatives in pairs(labels) for n in negatives]
    )


def plain_contrastive(
    labels: np.ndarray, embeddings: np.ndarray, margin: float, temperature: float = 0.2
) -> tuple[float, float]:
    losses, violating = [], []
    known = [i for i in range(len(labels)) if labels[i] >= 0]
    for i in known:
        others = [j for j in known if j != i]
        positives = [j for j in others if labels[j] == labels[i]]
        negatives = [j for j in others if labels[j] != labels[i]]
        if not positives:
            continue
        total = sum(np.exp(embeddings[i] @ embeddings[j] / temperature) for j in others)
        shares = [np.exp(embeddings[i] @ embeddings[p] / temperature) / total for p in positives]
        losses.append(-np.mean(np.log(shares)))
        far = max(distance(embeddings[i], embeddings[p]) for p in positives)
        near = min((distance(embeddings[i], embeddings[n]) for n in negatives), default=1e9)
        violating.append(far - near + margin > 0)
    return float(np.mean(losses or [0])), float(np.mean(violating or [0]))


PLAIN = {
    "triplet": plain_triplet,
    "semi_hard": plain_semi_hard,
    "batch_hard": plain_batch_hard,
    "batch_all": plain_batch_all,
    "contrastive": plain_contrastive,
}
