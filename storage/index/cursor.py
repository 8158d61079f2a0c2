"""Where a page of answers ended, as text that a person can pass on. Pure."""

import re

from storage.errors import CursorError
from storage.index.query import After, Sort

_FORM = re.compile(r"([0-9a-f]{8})-(time|length|quality)-([0-9]{1,19}(?:\.[0-9]{1,17})?)-([0-9]{1,19})")


def to_text(after: After, sort: Sort, generation: str) -> str:
    """The text for a place in this order of this index."""
    return f"{generation}-{sort}-{after.value}-{after.n}"


def from_text(text: str, sort: Sort, generation: str) -> After:
    """The place. Raises CursorError when the text is none, or of another order or an index that was made anew."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise CursorError("this is no place in a search; give what the last page told")
    if found[1] != generation:
        raise CursorError("the index was made anew since that page; begin the search again")
    if found[2] != sort:
        raise CursorError(f"that page was sorted by {found[2]}, this search by {sort}")
    value = float(found[3]) if "." in found[3] else int(found[3])
    return After(value=value, n=int(found[4]))
