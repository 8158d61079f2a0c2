"""How delivery stands, from the queue."""

from uploader.clock import Now
from uploader.delivery import TargetState
from uploader.policy import Plan
from uploader.queueview import QueueReader
from uploader.status import InboxStatus, TargetStatus, UploadStatus

_HOUR_S = 3600.0


def survey(
    queue: QueueReader, plan: Plan, now: Now, trouble: str = "", inbox: InboxStatus | None = None
) -> UploadStatus:
    """Look at all targets; `inbox` is added as it is. Raises QueueError."""
    states, waiting, given_up = queue.target_states(), queue.waiting_by_target(), queue.given_up_by_target()
    lost = queue.lost_by_target(now)
    names = dict.fromkeys((*plan.targets, *sorted(waiting), *sorted(given_up), *sorted(lost)))
    targets: list[TargetStatus] = []
    for name in names:
        count, since_s, taken_ns = waiting.get(name, (0, now.running_s, 0))
        state = states.get(name, TargetState(name, 0, 0.0, "", 0, 0, 0, 0, 0))
        settings = plan.targets.get(name)
        oldest_s = max(0.0, now.running_s - since_s)
        targets.append(
            TargetStatus(
                name=name,
                waiting=count,
                oldest_s=oldest_s,
                oldest_ns=taken_ns if count else None,
                overdue=count > 0 and (settings is None or oldest_s > settings.overdue_h * _HOUR_S),
                given_up=given_up.get(name, 0),
                lost=lost.get(name, 0),
                failures=state.failures,
                error=state.error,
                error_ns=state.error_ns,
                success_ns=state.success_ns,
                delivered=state.delivered,
                delivered_bytes=state.bytes,
            )
        )
    return UploadStatus(at_ns=now.wall_ns, trouble=trouble, targets=tuple(targets), inbox=inbox)
