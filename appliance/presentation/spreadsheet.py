"""Cells of a CSV file that a spreadsheet does not take for a formula. Pure."""

_FORMULA = ("=", "@", "\t", "\r", "\n")
_SIGNS = ("+", "-")


def cell(value: object) -> object:
    """`value` as a cell: a text that a spreadsheet would calculate gets an apostrophe before it.

    Names and numbers come from the wire, and `=` begins a formula there. A telephone number with its `+` stays.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in value)
    calculated = value.startswith(_FORMULA) or (value.startswith(_SIGNS) and not value[1:].isalnum())
    return f"'{text}" if calculated else text
