"""An ordinary run of the tests runs the fuzzing tests, too."""

from hypothesis import settings


def test_ordinary_runs_fuzz_with_the_same_examples(request, pytestconfig):
    assert settings().derandomize, (
        "this is the profile of -m soak, with which fuzzing tests run alone"
    )
    assert not [
        each
        for each in request.session.items
        if "fuzzing" in each.path.parts and each.get_closest_marker("soak")
    ]
