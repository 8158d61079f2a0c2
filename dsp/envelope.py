"""The outline of a channel for a picture of it: least and greatest sample and loudness of each column of pixels.

Fed in blocks in any division; the result is that of the whole. What was not fed is silence.
"""

import numpy as np
import numpy.typing as npt


class Envelope:
    """The outline of `samples` samples in at most `columns` columns of equal width (to a sample)."""

    def __init__(self, samples: int, columns: int) -> None:
        count = max(min(samples, columns), 1)
        self.edges: npt.NDArray[np.int64] = np.arange(count + 1) * samples // count
        """Where the columns begin and the last one ends, in samples, shape `(columns + 1,)`."""
        self.low: npt.NDArray[np.int16] = np.zeros(count, np.int16)
        """Least sample of each column, shape `(columns,)`, never above 0."""
        self.high: npt.NDArray[np.int16] = np.zeros(count, np.int16)
        """Greatest sample of each column, shape `(columns,)`, never below 0."""
        self._power: npt.NDArray[np.float64] = np.zeros(count)

    @property
    def rms(self) -> npt.NDArray[np.float64]:
        """Root mean square of each column, shape `(columns,)`, full scale 32768."""
        return np.sqrt(self._power / np.maximum(np.diff(self.edges), 1))

    def add(self, first: int, block: npt.NDArray[np.int16]) -> None:
        """Take in samples, shape `(n,)`, that lie at `first`; what lies outside is left out."""
        start, end = max(first, 0), min(first + len(block), int(self.edges[-1]))
        if end <= start:
            return
        block = block[start - first : end - first]
        left = int(np.searchsorted(self.edges, start, "right")) - 1
        right = int(np.searchsorted(self.edges, end, "left"))
        begins = np.maximum(self.edges[left:right] - start, 0)
        columns = slice(left, right)
        np.minimum(self.low[columns], np.minimum.reduceat(block, begins), out=self.low[columns])
        np.maximum(self.high[columns], np.maximum.reduceat(block, begins), out=self.high[columns])
        self._power[columns] += np.add.reduceat(np.square(block, dtype=np.float64), begins)
