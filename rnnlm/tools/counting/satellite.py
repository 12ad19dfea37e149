"""What counts of n-grams add to rnnlm: beyond memory, in folders, and as tables."""

from rnnlm.satellites import Command, Satellite, all_on_use, named, names_of, on_use

ASKING = ("memory", "temp", "workers", "dask", "counts")  # settings and options
SATELLITE = Satellite(
    "tools/counting",
    needs=("tools/prepared",),
    commands=lambda: [
        Command(
            "count",
            "More",
            "n-grams",
            on_use(__package__, "count_command:command"),
            after="prepare",
        )
    ],
    options=named(__package__, {"train": "count_command:train_options"}),
    folders=all_on_use(__package__, "source:COUNTED"),
    sources=named(__package__, dict.fromkeys(ASKING, "source:SOURCE")),
    names=names_of(__package__),
)
