"""Public reports: wrong code is named, and right code in other conventions is called right."""

import pytest

from wild.known_failures import KNOWN_FAILURES
from wild.reports import called_right_though_wrong, disagreement, judge, read_cases


def _parameters():
    for case in read_cases():
        marks = [pytest.mark.parity] if case.needs_torch else []
        if case.expected.get("variant") and not case.needs_torch:
            marks.append(pytest.mark.exhaustive)  # a mistake that nobody reported, as in tests/planted
        if str(case) in KNOWN_FAILURES:
            marks.append(pytest.mark.xfail(reason=KNOWN_FAILURES[str(case)], strict=True))
        yield pytest.param(case, marks=marks, id=str(case))


@pytest.mark.sampled
@pytest.mark.whole_search
@pytest.mark.parametrize("case", list(_parameters()))
def test_the_verdict_is_the_expected_one(case):
    verdict, said, _ = judge(case)
    assert not called_right_though_wrong(case, verdict)
    assert disagreement(case, verdict, said) == ""


def test_every_known_failure_is_a_case():
    assert set(KNOWN_FAILURES) <= {str(case) for case in read_cases()}


def test_every_case_has_a_story_and_a_source():
    assert all(case.story and case.source and "/" in case.source for case in read_cases())
