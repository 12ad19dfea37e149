"""`rnnlm next`: the likeliest next words after a text."""

import itertools
from collections.abc import Iterator
from typing import Any

import click

from .. import options, terminal
from ..declaring import Command, IntRange, section


@click.command(cls=Command)
@click.argument("beginnings", nargs=-1, metavar="[BEGINNING]...")
@section("Model", options.models_option, options.device_option)
@section(
    "Words",
    click.option(
        "--num",
        type=IntRange(1),
        default=10,
        show_default=True,
        metavar="N",
        help="Number of words.",
    ),
    click.option(
        "--complete",
        is_flag=True,
        help="Complete the last word of BEGINNING instead of adding another one.",
    ),
)
@section("Output", options.json_option)
def command(beginnings: tuple[str, ...], model_names: tuple[str, ...], device: str, num: int,
            complete: bool, as_json: bool) -> None:  # fmt: skip
    """Show the likeliest next words after a text, with their probabilities.

    \b
    rnnlm next "the old man" --num 5
    rnnlm next -m kn -m demo "the dog" "the cat"
    rnnlm next "the old m" --complete

    Without BEGINNING, these are the first words of a line; - reads beginnings from standard input,
    one per line. </s> is the end of the line. Unknown words are left out.
    """
    from rnnlm.scoring.generation.search import next_words
    from rnnlm.text.line_forms import lacks_blanks

    # All that can be wrong is found before a model is loaded.
    texts = options.typed_or_arriving(beginnings or ("",), "used as a beginning", "a beginning")
    model_names = options.chosen_models(model_names, [{"text"}])
    models = options.load_models(model_names, device)

    def answers() -> Iterator[dict[str, Any]]:
        """Yield rows of the words after each text, or print them as JSON if that is wanted."""
        # Where white space follows, the last word is complete.
        end = "" if complete else " "
        for text in texts:
            if not complete and lacks_blanks([text], least=1):
                terminal.say(f"{text!r} has no blanks between words: --complete adds none")
            for name, model in models.items():
                words = next_words(model, text + end, num)
                if complete and not words:
                    terminal.say(f"{name} knows no word that begins like the last one of {text!r}")
                about = {"model": name, "text": text}
                if as_json:
                    terminal.print_json({**about, "next": list(words)})
                    continue
                for word in words:
                    yield {**about, "word": word.word, "probability": f"{word.probability:.4g}"}

    # Columns that are the same in all rows are left out; texts that arrive may be any number.
    is_arriving = options.is_standard_input(beginnings)
    columns = ["word", "probability"]
    if len(beginnings) > 1 or is_arriving:
        columns.insert(0, "text")
    if len(models) > 1:
        columns.insert(0, "model")
    if is_arriving and not as_json:
        cells = ([row[column] for column in columns] for row in answers())
        options.put(map(terminal.tsv_line, itertools.chain([columns], cells)), None)
    else:
        table = terminal.Table.of_records(list(answers()), columns[:-1], columns)
        if not as_json:
            terminal.print_table(table)
    for name, model in models.items():
        if not model.normalised:
            terminal.say(f"{name} is not normalised: these numbers are not probabilities")
