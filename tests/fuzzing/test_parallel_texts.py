"""Files of pairs of every format, whole and damaged: pairs with words on both sides, or an
RnnlmError."""

import warnings

from hypothesis import given
from hypothesis import strategies as st

from rnnlm.errors import RnnlmError, RnnlmWarning
from rnnlm.text.lines import is_blank
from rnnlm.text.pairs import ParallelSettings, read_pairs
from support.odd_inputs import changed, damaged, json_bytes, odd_text, value_or_error

TABLE = b'source\ttarget\nGo.\tVa !\n"a ""b"""\tc\n'
CSV = b'source;target\nGo.;"Va\n!"\na;b\n'
ROWS = {"source": "Go.", "target": ["Va !", "Allez !"]}
LINES = b"Go.\n<s> a\n\nb\tc\n"


@given(
    st.one_of(
        damaged(TABLE, CSV, LINES),
        changed(ROWS).map(json_bytes),
        odd_text.map(lambda text: text.encode("utf-8", "surrogatepass")),
    ),
    st.sampled_from(["auto", "tsv", "csv", "jsonl", "parallel"]),
    st.booleans(),
)
def test_any_pairs(place, data, format, skip_empty):
    path = place / "data"
    path.write_bytes(data)
    numbers = {"column": "1", "target_column": "2"} if data[:1] < b"b" else {}
    settings = ParallelSettings(
        format, skip_empty=skip_empty, encoding_errors="replace", special_symbols="drop", **numbers
    )
    targets = [[path], [path]] if format == "parallel" else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        found = value_or_error(lambda: read_pairs([path], settings, targets))
    if not isinstance(found, RnnlmError):
        assert len(found.content_hash) == 12 and len(found.grouped().pairs) == len(
            {pair.source for pair in found.pairs}
        )
        for text in (text for pair in found.pairs for text in (pair.source, *pair.references)):
            assert not is_blank(text) and "\n" not in text
