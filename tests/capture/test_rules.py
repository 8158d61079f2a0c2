import pytest

from capture.rules import CallDirection, Decision, Enterprise, LineRule, RuleReason, decide, decide_unsignalled

LINE, OTHER_LINE, OFF_LINE, STRANGER = "0312345678", "0312345679", "0312345670", "09011112222"
ENTERPRISES = (
    Enterprise(
        id="E1",
        lines=(LineRule(number="03-1234-5678"), LineRule(number=OFF_LINE, record=False)),
        allow_00=("0033",),
    ),
    Enterprise(id="E2", lines=(LineRule(number=OTHER_LINE),)),
)


def dialled(number: str) -> Decision:
    return decide(ENTERPRISES, caller=LINE, callee=number, dialled=number)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("0698765432", ""),
        ("+81698765432", ""),
        ("117", "rule_prefix_1"),
        ("110", "rule_prefix_1"),
        ("1416", ""),
        ("1417", "rule_prefix_1"),
        ("1840698765432", ""),
        ("184-06-9876-5432", ""),
        ("1860698765432", ""),
        ("13110698765432", ""),
        ("18413110698765432", ""),
        ("13111860698765432", ""),
        ("184117", "rule_prefix_1"),
        ("1311104", "rule_prefix_1"),
        ("1841416", ""),
        ("184001012025550100", "rule_prefix_00"),
        ("184", "rule_prefix_1"),
        ("1311", "rule_prefix_1"),
        ("001012025550100", "rule_prefix_00"),
        ("0033142685300", ""),
        ("1840033142685300", ""),
        ("0120000000", ""),
    ],
)
def test_dialled_numbers(number: str, reason: str):
    decision = dialled(number)
    assert (decision.reason, decision.wanted) == (reason, not reason)
    assert (decision.direction, decision.enterprise, decision.line) == (CallDirection.OUT, "E1", "03-1234-5678")


@pytest.mark.parametrize("caller", [STRANGER, "anonymous", ""])
def test_incoming_call_to_a_line_is_recorded(caller: str):
    decision = decide(ENTERPRISES, caller=caller, callee="+81312345678", dialled="+81312345678")
    assert (decision.wanted, decision.direction, decision.line) == (True, CallDirection.IN, "03-1234-5678")


def test_line_is_found_by_the_request_uri_when_to_names_another():
    assert decide(ENTERPRISES, caller=STRANGER, callee="0120000001", dialled=LINE).direction == "in"


def test_asserted_identity_names_the_calling_line():
    decision = decide(ENTERPRISES, caller="anonymous", asserted=["+81312345678"], callee=STRANGER, dialled=STRANGER)
    assert (decision.wanted, decision.direction) == (True, CallDirection.OUT)


def test_diverting_line_makes_the_diverted_call():
    decision = decide(ENTERPRISES, caller=STRANGER, callee="117", dialled="117", diversion=[LINE])
    assert (decision.reason, decision.direction) == (RuleReason.PREFIX_1, CallDirection.OUT)


def test_both_sides_contracted():
    decision = decide(ENTERPRISES, caller=LINE, callee=OTHER_LINE, dialled=f"184{OTHER_LINE}")
    assert (decision.wanted, decision.direction, decision.enterprise) == (True, CallDirection.INTERNAL, "E2")


def test_internal_call_is_recorded_for_the_line_that_is_on():
    to_off = decide(ENTERPRISES, caller=LINE, callee=OFF_LINE, dialled=OFF_LINE)
    from_off = decide(ENTERPRISES, caller=OFF_LINE, callee=LINE, dialled=LINE)
    assert (to_off.wanted, to_off.line, to_off.direction) == (True, "03-1234-5678", CallDirection.INTERNAL)
    assert (from_off.wanted, from_off.line, from_off.direction) == (True, "03-1234-5678", CallDirection.INTERNAL)


@pytest.mark.parametrize(("caller", "callee", "direction"), [(OFF_LINE, STRANGER, "out"), (STRANGER, OFF_LINE, "in")])
def test_line_that_is_off(caller: str, callee: str, direction: str):
    decision = decide(ENTERPRISES, caller=caller, callee=callee, dialled=callee)
    assert (decision.wanted, decision.reason, decision.direction) == (False, RuleReason.LINE_OFF, direction)


def test_unknown_line():
    decision = decide(ENTERPRISES, caller=STRANGER, callee="0698765432", dialled="0698765432")
    assert (decision.wanted, decision.reason, decision.direction) == (False, RuleReason.LINE_UNKNOWN, "unk")
    assert decision.rule


def test_without_rules_everything_is_wanted():
    decision = decide((), caller=STRANGER, callee="117", dialled="117")
    assert (decision.wanted, decision.reason, decision.direction) == (True, "", CallDirection.UNKNOWN)
    assert decide_unsignalled(()).wanted


def test_unsignalled_media_needs_a_rule():
    assert decide_unsignalled(ENTERPRISES).reason is RuleReason.LINE_UNKNOWN
    decision = decide_unsignalled((*ENTERPRISES, Enterprise(id="E3", lines=(), unsignalled=True)))
    assert (decision.wanted, decision.enterprise) == (True, "E3")
