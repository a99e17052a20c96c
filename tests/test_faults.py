"""The table of faults is the one that its tests give."""

from tests.faults import TABLE, listed, made, table


def test_the_table_is_up_to_date() -> None:
    assert TABLE.read_text(encoding="utf-8") == table(), "run `python -m tests.faults`"


def test_tests_name_faults_that_are_listed() -> None:
    numbers = [fault.number for fault in listed()]
    assert numbers == list(range(1, 199))
    assert {number for test in made() for number in test.faults} <= set(numbers)
