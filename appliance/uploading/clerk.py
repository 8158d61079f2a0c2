"""What the archive's owner is asked because of deliveries: receipts into the ledger, erasure of what was delivered."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from appliance.custody.archiveclient import Ask, asking_daemon, checked
from appliance.custody.archiverequests import Erase, Erased, Receipt
from appliance.errors import RequestError
from storage.archive import Archive
from storage.errors import StorageError
from storage.ledger.entries import DeliveredPart
from uploader import feed
from uploader.clock import Now
from uploader.delivery import DoneCall, State, Unsettled
from uploader.deliveryqueue import DeliveryQueue
from uploader.policy import Plan

WHO = feed.UPLOADER
AT_ONCE = 200
"""Parts or calls in one request."""
LATER_S: Mapping[str, float] = {"held": 6 * 3600.0, "open": 60.0, "pending": 60.0}
"""When the erasure of a call is asked for again that was left, by the reason."""
_LATEST_S = 86_400.0


class Clerk:
    """Asks. Its methods do what there is to do for one request, in a thread: the owner may take its time."""

    def __init__(self, archive: Archive, plan: Plan) -> None:
        self._archive = archive
        self._plan = plan

    def receipts(self, ended: Sequence[Unsettled]) -> list[int]:
        """Have deliveries that have ended entered in the ledger; return the numbers of those that are.

        Raises StorageError or RequestError when the owner is away or refuses, OSError.
        """

        def alike(one: Unsettled) -> tuple[str, str, str, str]:
            return one.target, one.state, one.proof, one.enterprise

        entered: list[int] = []
        with asking_daemon(self._archive) as ask:
            for _, together in groupby(sorted(ended, key=alike), key=alike):
                batch = list(together)
                checked(ask(self._receipt(batch)))
                entered += [one.n for one in batch]
        return entered

    def _receipt(self, batch: Sequence[Unsettled]) -> Receipt:
        first, settings = batch[0], self._plan.targets.get(batch[0].target)
        delivered = first.state == State.PROVEN
        return Receipt(
            target=first.target,
            address=settings.url if settings else "not in the configuration any more",
            outcome="delivered" if delivered else "given_up",
            proof=("read_back" if first.proof == "read_back" else "checksum") if delivered else None,
            parts=tuple(DeliveredPart(call_id=one.call_id, part=one.part, sha256=one.sha256 or None) for one in batch),
            who=WHO,
            why=f"{first.enterprise}: {'delivered' if delivered else 'could not be delivered'}",
        )

    def erase(self, done: Sequence[DoneCall]) -> "Outcome":
        """Have calls erased that were delivered everywhere, where the policy says so. Raises as `receipts`."""
        outcome = Outcome()
        wanted: dict[str, list[DoneCall]] = {}
        for call in done:
            policy = self._plan.policies.get(call.enterprise)
            if policy is not None and policy.erases and (not call.given_up or policy.erases_given_up):
                wanted.setdefault(call.enterprise, []).append(call)
            else:
                outcome.over.append(call.call_id)  # it is kept
        if wanted:
            with asking_daemon(self._archive) as ask:
                for enterprise, calls in wanted.items():
                    self._erase(ask, enterprise, calls, outcome)
        return outcome

    def _erase(self, ask: Ask, enterprise: str, calls: Sequence[DoneCall], outcome: "Outcome") -> None:
        targets = ", ".join(self._plan.targets_of(enterprise))
        given_up = any(call.given_up for call in calls)
        why = f"delivered to {targets}" + (", as far as that could be" if given_up else "")
        answer = checked(
            ask(
                Erase(
                    calls=tuple((call.call_id, call.day) for call in calls),
                    rule=f"{enterprise}: delivery",
                    who=WHO,
                    why=why[:900],
                )
            )
        )
        assert isinstance(answer, Erased)
        for call in calls:
            reason = answer.left.get(call.call_id)
            if reason is None:
                outcome.over.append(call.call_id)
            else:
                outcome.later.setdefault(LATER_S.get(reason, _LATEST_S), []).append(call.call_id)


class Outcome:
    """What became of calls that were to be erased."""

    def __init__(self) -> None:
        self.over: list[str] = []
        """Nothing more is to be done about these."""
        self.later: dict[float, list[str]] = {}
        """These are asked for again, so many seconds later."""

    def note(self, queue: DeliveryQueue, now: Now) -> None:
        """Tell the queue. Raises QueueError."""
        queue.forget_calls(self.over)
        for wait_s, call_ids in self.later.items():
            queue.postpone_calls(call_ids, now.running_s + wait_s)


FAILURES: tuple[type[Exception], ...] = (StorageError, RequestError, OSError)
"""What asking may raise: tried again later."""
