"""The file of figures that `.ci/gpu` writes, and how it comes into the recipes and their page.

The file holds a table by card: the device, and each step with its outcome, what it measured, and
the code, torch and day that it was measured with.
"""

import hashlib
import json
import re
import sys

from gpu_packages import ROOT, Failure, say, shown, write_atomically


def read(path):
    """Read a file of figures: a table by card."""
    try:
        cards = json.loads(path.read_text(encoding="utf-8"))
        if all("steps" in entry and "device" in entry for entry in cards.values()):
            return cards
    except FileNotFoundError:
        raise Failure(
            f"there is no {shown(path)}", hint="run .ci/gpu first, or name the file"
        ) from None
    except (ValueError, TypeError, AttributeError):
        pass
    raise Failure(f"{shown(path)} is not a results file", hint="move it away, or name another file")


def settings_of(recipe, folder):
    """Identify the settings of a recipe; what its [about] says does not count."""
    import tomllib

    settings = tomllib.loads((folder / f"{recipe}.toml").read_text(encoding="utf-8"))
    settings.pop("about")
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def record(options):
    """Put the figures of real cards into the recipes, and into their rows of the page."""
    cards = read(options.figures)
    real = {card: entry["steps"] for card, entry in cards.items() if entry["device"] == "cuda"}
    if not real:
        why = "it was made with --device cpu" if cards else "it is empty"
        raise Failure(
            f"{shown(options.figures)} holds no figures of a GPU",
            why,
            "run .ci/gpu on a machine with one",
        )

    # Make and check all texts before the first file is written.
    speeds_of, run_of, others = sorted_out(real, options.recipes)
    page = options.page.read_text(encoding="utf-8")
    written = {}
    for recipe in sorted({*speeds_of, *run_of}):
        path = options.recipes / f"{recipe}.toml"
        before = path.read_text(encoding="utf-8")
        after = with_figures(recipe, before, speeds_of.get(recipe, []), run_of.get(recipe))
        page = with_row(page, recipe, after)
        if after != before:
            written[path] = after
    if page != options.page.read_text(encoding="utf-8"):
        written[options.page] = page

    for path, text in written.items():
        write_atomically(path, text)
    if written:
        say(f"recorded: {', '.join(map(shown, written))}")
    else:
        say("nothing new to record")
    if others:
        why = "their settings differ from the recipe's"
        say(f"kept {others} results in {shown(options.figures)} only: {why}")
    return 0


def sorted_out(real, recipes):
    """Return the speeds and the run of each recipe, and how many other figures there are."""
    done = []
    for card, steps in real.items():
        done += [{**step, "card": card} for step in steps.values() if step["outcome"] == "done"]

    # Later entries win, here and in with_figures: own text over bundled, newer over older.
    done.sort(key=lambda step: (not step["on"].startswith("bundled"), step["with"]["date"]))

    speeds_of, run_of, others = {}, {}, 0
    for step in done:
        # A recipe may have changed since, or a setting been tried in place of its own.
        recipe = step["recipe"]
        is_there = (recipes / f"{recipe}.toml").exists()
        is_same = is_there and step["own"]["recipe"] == settings_of(recipe, recipes)
        if step["settings"] or not is_same:
            others += 1
        elif "tokens_per_second" in step:
            speeds_of.setdefault(recipe, []).append(speed_figure(step))
        else:
            run_of[recipe] = run_figure(step)
    return speeds_of, run_of, others


def speed_figure(step):
    figure = {
        "card": step["card"],
        "precision": step["precision"],
        "tokens_per_second": int(float(f"{step['tokens_per_second']:.3g}")),
    }
    if step["ratio_plain"] is not None:
        figure["ratio_plain"] = round(step["ratio_plain"], 2)
    return {**figure, "text": step["on"]}


def run_figure(step):
    """Return the figure of a trained run; of the bundled corpus it is without unknown words."""
    figure = {"on": step["on"], "value": round(step["ppl_token"], 1), "card": step["card"]}
    figure["minutes"] = round(step["minutes"], 1 if step["minutes"] >= 1 else 2)
    if step["on"].startswith("bundled"):
        figure |= {"value": round(step["ppl_token_no_oov"], 1), "note": "without unknown words"}
    return figure


def with_figures(recipe, text, speeds, run):
    """Return a recipe's file with these figures in [about], all other lines as they were."""
    import tomllib

    before = tomllib.loads(text)
    expected = json.loads(json.dumps(before))
    if speeds:
        # Those of other cards stay; a new figure of the same card and precision replaces the old.
        known = {
            (speed["card"], speed["precision"]): speed for speed in before["about"].get("gpu", [])
        }
        known |= {(speed["card"], speed["precision"]): speed for speed in speeds}
        merged = [known[key] for key in sorted(known)]
        text = with_line(text, "gpu", f"[{', '.join(map(inline_table, merged))}]")
        expected["about"]["gpu"] = merged
    if run is not None:
        text = with_line(text, "gpu_run", inline_table(run))
        expected["about"]["gpu_run"] = run

    try:
        is_expected = tomllib.loads(text) == expected
    except tomllib.TOMLDecodeError:
        is_expected = False
    if not is_expected:
        hint = "write gpu and gpu_run of its [about] on one line each"
        what = f"cannot add results to {recipe}.toml without changing other lines"
        raise Failure(what, hint=hint)
    return text


def with_line(text, name, value):
    """Replace the line of [about] that gives `name`, or add one behind the last of that table."""
    lines = text.split("\n")
    start = lines.index("[about]") + 1
    end = start
    while end < len(lines) and not lines[end].startswith("["):
        end += 1
    line = f"{name} = {value}"
    for number in range(start, end):
        if lines[number].startswith(f"{name} = "):
            lines[number] = line
            return "\n".join(lines)
    while not lines[end - 1].strip():
        end -= 1
    return "\n".join([*lines[:end], line, *lines[end:]])


def inline_table(values):
    return (
        "{ " + ", ".join(f"{name} = {json.dumps(value)}" for name, value in values.items()) + " }"
    )


def with_row(page, recipe, text):
    """Return the page with the row of a recipe as its file says now."""
    sys.path.insert(0, str(ROOT))
    try:
        from rnnlm.recipes.recipe import page_cells, parse
    finally:
        sys.path.pop(0)

    lines = page.split("\n")
    rows = [
        number
        for number, line in enumerate(lines)
        if re.match(rf"\| `--recipe {re.escape(recipe)}[ `]", line)
    ]
    if len(rows) != 1:
        raise Failure(
            f"docs/recipes.md has {len(rows)} rows of {recipe}",
            hint="mend the page: one row for each recipe",
        )
    lines[rows[0]] = f"| {' | '.join(page_cells(parse(recipe, text)))} |"
    return "\n".join(lines)
