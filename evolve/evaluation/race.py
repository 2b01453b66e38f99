"""Racing: stop the evaluation of a candidate that cannot become one of the best.

Source: Hoeffding races (Maron and Moore, 1994), with an exact test in place of Hoeffding's bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evolve.evaluation.evaluator import Accuracy
from evolve.subnet_search.candidate import Candidate

LOOKS = (8, 4, 2)  # an eighth, a quarter and half of the images are looked at before all of them


@dataclass(frozen=True)
class Race:
    """The rule by which evaluations stop.

    Args:
        images: number of images n, in random order.
        elite: number of best candidates among which a candidate would have to be.
        confidence: least probability that a candidate which belongs there is not dropped.
    """

    images: int
    elite: int
    confidence: float

    def run(
        self, history: Sequence[Candidate], accuracy_percent: Callable[[int, int], float]
    ) -> Accuracy:
        """Measure a candidate on all images, or on as many as it takes to drop it.

        Args:
            history: candidates before it.
            accuracy_percent: returns its accuracy on the images [first, stop), in percent.
        """
        needed, seen, correct = self.needed(history), 0, 0
        for look in LOOKS:
            stop = self.images // look
            if needed is not None and stop > seen:
                correct += self._count(accuracy_percent(seen, stop), stop - seen)
                seen = stop
                if self.drops(correct, seen, needed):
                    return Accuracy(100.0 * correct / seen, seen)
        correct += self._count(accuracy_percent(seen, self.images), self.images - seen)
        return Accuracy(100.0 * correct / self.images)

    def needed(self, history: Sequence[Candidate]) -> int | None:
        """Return the number of images that a candidate must classify correctly to be in the elite.

        None means that any number will do: fewer than `elite` candidates were measured to the end.
        """
        whole = sorted((c.accuracy_percent for c in history if c.images is None), reverse=True)
        if len(whole) < self.elite:
            return None
        return self._count(whole[self.elite - 1], self.images)

    def drops(self, correct: int, seen: int, needed: int) -> bool:
        """Return whether a candidate is dropped that is correct on some of the images seen.

        If it is correct on `needed` of all n images, the number of those among m = `seen` random
        ones is hypergeometric. It is dropped if so few are improbable: P(X <= correct) < alpha,
        where the looks share the error, alpha = (1 - confidence) / number of looks.
        """
        from scipy.stats import hypergeom

        tail = hypergeom.cdf(correct, self.images, needed, seen)
        return bool(tail < (1.0 - self.confidence) / len(LOOKS))

    @staticmethod
    def _count(percent: float, images: int) -> int:
        return round(percent * images / 100.0)
