"""The options of `rnnlm score` for minimal pairs."""

import click

from rnnlm.cli.declaring import explained, section, stacked, taking_over
from rnnlm.satellites import on_use

score_options = stacked(
    explained("rnnlm score -m demo --pairs homophones.tsv"),
    section(
        "Minimal pairs",
        click.option("--pairs", "pairs_source", metavar="FILE|FOLDER",
                     help="Measure accuracy on minimal pairs: BLiMP, columns good and bad, "
                          "agreement templates, Winograd schemas; or bundled: homophones, "
                          "agreement, recency. -o FILE.jsonl: one record per pair; --plot: "
                          "accuracy by distance and attractors, or by kind."),
    ),
    section(
        "Minimal pairs",
        click.option("--pairs-scoring", type=click.Choice(["full", "partial", "word"]),
                     help="Compare whole sentences (full), the text after the part that "
                          "differs (partial), or that part itself (word).  [default: word for "
                          "agreement templates, partial for Winograd schemas, else full]"),
        rare=True,
    ),
    taking_over(
        "pairs_source", on_use(__package__, "pairs_command:score_pairs"), ["pairs_scoring"]
    ),
)  # fmt: skip
