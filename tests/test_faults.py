"""The table of faults is the one that its tests give."""

from tests.faults import ALONE, TABLE, listed, made, on_both, shown, table


def test_the_table_is_up_to_date() -> None:
    assert TABLE.read_text(encoding="utf-8") == table(), "run `python -m tests.faults`"


def test_tests_name_faults_that_are_listed() -> None:
    numbers = [fault.number for fault in listed()]
    assert numbers == list(range(1, 199))
    assert shown(made()) <= set(numbers)


def test_every_fault_is_made_on_both_engines_or_there_is_a_reason_why_not() -> None:
    tests = made()
    assert shown(tests) == {fault.number for fault in listed()}
    assert on_both(tests) == shown(tests) - ALONE.keys()
