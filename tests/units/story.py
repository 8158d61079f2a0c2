"""What was done with a box and what it showed, told as it goes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Story:
    """One story, told."""

    title: str
    done: list[str] = field(default_factory=list)
    """What was done, and what it showed."""
    problems: list[str] = field(default_factory=list)
    """What should not be."""

    def expect(self, is_so: bool, otherwise: str) -> None:
        """Note a problem unless something is so."""
        if not is_so:
            self.problems.append(otherwise)


def is_proven(tell: Callable[[], Story]) -> bool:
    """Tell a story, print it, and say whether all was as it must be."""
    began = time.monotonic()
    try:
        story = tell()
    except AssertionError as error:  # what was waited for in vain; what comes next is told all the same
        story = Story(title="not told to its end", problems=[str(error)])
    print(f"\n{story.title}   ({time.monotonic() - began:.0f} s)")
    for line in story.done:
        print(f"  {line}")
    for problem in story.problems:
        print(f"  WRONG: {problem}")
    print("  proven" if not story.problems else "  NOT PROVEN", flush=True)
    return not story.problems
