"""How many files one datum passes; `python tests/support/hops.py score` names them."""

import pytest

from support.hops import DATA, files_of, hops


@pytest.mark.soak
@pytest.mark.parametrize("name", DATA)
def test_a_datum_passes_few_files(name):
    files = files_of(hops(DATA[name]))
    assert "cli/main.py" in files
    assert len(files) <= DATA[name].most_files, "\n".join(files)
