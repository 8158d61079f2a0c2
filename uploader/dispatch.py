"""What is tried when, and what follows from how it went. Clock and chance are arguments; only the queue is touched.

A failure of one file postpones that file. A failure of the target postpones the target, and the file that was under way
behind the others: were it the file that brings the target down, it would stand in everybody's way.
"""

from collections.abc import Callable, Collection
from datetime import datetime
from zoneinfo import ZoneInfo

from storage.timestamps import local_time
from uploader import retry
from uploader.clock import Now
from uploader.delivery import Delivery
from uploader.deliveryqueue import DeliveryQueue
from uploader.errors import ParcelError, SourceError, TargetError
from uploader.policy import Plan
from uploader.proof import Proof


class Dispatcher:
    """Decides for all targets. Its methods raise QueueError."""

    def __init__(self, queue: DeliveryQueue, plan: Plan, zone: ZoneInfo, fraction: Callable[[], float]) -> None:
        """`fraction`: chance, a number in [0, 1) each time."""
        self._queue = queue
        self._plan = plan
        self._zone = zone
        self._fraction = fraction
        self._failures = {name: (state.failures, state.next_s) for name, state in queue.target_states().items()}

    def due(self, target: str, now: Now, under_way: Collection[int] = ()) -> list[Delivery]:
        """What is to be begun now, while the deliveries `under_way` go on."""
        failures, next_s = self._failures.get(target, (0, 0.0))
        # A target that has failed is asked with one file first.
        most = 1 if failures else self._plan.targets[target].parallel
        open_now = self._plan.open_enterprises(self._local(now))
        if not open_now or now.running_s < next_s or len(under_way) >= most:
            return []
        return self._queue.due(target, open_now, now, most - len(under_way), under_way)

    def proven(self, delivery: Delivery, proof: Proof, now: Now) -> None:
        """The target has proved to hold it."""
        self._failures.pop(delivery.target, None)
        self._queue.proven(delivery, proof=proof.kind, sha256=proof.sha256, size_bytes=proof.size_bytes, now=now)

    def failed(self, delivery: Delivery, error: ParcelError | TargetError | SourceError, now: Now) -> None:
        """It was not delivered."""
        if isinstance(error, SourceError):
            self._queue.gone(delivery, str(error))
            return
        next_s = now.running_s + retry.wait_s(delivery.attempts + 1, self._fraction())
        self._queue.failed(delivery, str(error), next_s)
        if isinstance(error, TargetError):
            self.target_failed(delivery.target, error, now)

    def target_failed(self, target: str, error: TargetError, now: Now) -> None:
        """The target does not work."""
        failures, next_s = self._failures.get(target, (0, 0.0))
        if failures and next_s > now.running_s:
            return  # one of several that were under way has told already
        next_s = now.running_s + retry.wait_s(failures + 1, self._fraction(), error.retry_after_s)
        self._failures[target] = failures + 1, next_s
        self._queue.target_failed(target, str(error), next_s, now)

    def asked_again(self) -> None:
        """A person wants everything tried now."""
        self._failures = {name: (failures, 0.0) for name, (failures, _) in self._failures.items()}

    def give_up(self, now: Now) -> int:
        """Give up what was tried for as long as the policy says, or has no target any more; say how many."""
        count = 0
        for target, enterprise in self._queue.waiting_of():
            policy = self._plan.policies.get(enterprise)
            is_wanted = policy is not None and target in policy.targets and target in self._plan.targets
            patience_s = policy.give_up_s if policy is not None and is_wanted else 0.0
            count += self._queue.give_up(target, enterprise, now.running_s - patience_s)
        return count

    def _local(self, now: Now) -> datetime:
        return local_time(now.wall_ns, self._zone)
