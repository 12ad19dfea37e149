"""Runs of one grid share the texts that they read alike, and nothing else."""

from rnnlm.text.lines import silent
from rnnlm.tools.grids.grid import SharedTexts
from rnnlm.training.request import TrainingRequest
from rnnlm.training.resolution import resolve_request


def opened(shared, path, held_out=False, task="tagging", model=None, **given):
    assignments = {"min_count": "1", **given}
    valid = () if held_out else (str(path),)
    names = {"task": task, "model": model}
    request = TrainingRequest((str(path),), valid, assignments=assignments, **names)
    _, kind, resolved = resolve_request(request)
    return shared(request, resolved, kind, silent)


def symbols_of(shared, path, output_layer):
    texts = opened(shared, path, output_layer=output_layer, constrained="false")
    return texts.data.tokenizer.columns[0].symbols


def test_taggers_with_and_without_crf_have_separate_labels(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("in O\nnew B-LOC\nyork I-LOC\n\noslo B-LOC\nis O\n", encoding="utf-8")
    shared = SharedTexts(None)
    assert set(symbols_of(shared, path, "softmax")) == {"O", "B-LOC", "I-LOC"}
    assert "S-LOC" in symbols_of(shared, path, "crf")


def test_networks_that_learn_from_roots_alone_do_not_get_the_labels_of_all_nodes(tmp_path):
    """In a grid, the second run learned from all nodes, too."""
    path, shared = tmp_path / "trees.txt", SharedTexts(None)
    path.write_text("(good (odd it) (good works))\n(bad (odd it) (bad broke))\n" * 5)
    given = {"task": "classification", "model": "recursive"}
    symbols = [
        opened(shared, path, node_loss=loss, **given).data.tokenizer.columns[0].symbols
        for loss in ("all", "root")
    ]
    assert [{*labels} for labels in symbols] == [{"good", "bad", "odd"}, {"good", "bad"}]


def test_seeds_share_what_is_not_drawn_by_them(tmp_path):
    path, shared = tmp_path / "names.txt", SharedTexts(None)
    path.write_text("oslo B-LOC\n\n" * 20 + "is O\n\n" * 20, encoding="utf-8")
    first, second = (opened(shared, path, seed=seed) for seed in ("1", "2"))
    assert first.data is second.data
    first, second, again = (opened(shared, path, True, seed=seed) for seed in ("1", "2", "1"))
    assert again.data is first.data and second.data is not first.data


def test_letters_have_no_characters_in_any_run(tmp_path):
    """The second run took the text of the first, but a network that reads characters."""
    path, shared = tmp_path / "sounds.tsv", SharedTexts(None)
    path.write_text("letters\tsounds\nc a t\tK AE T\nd o g\tD AO G\na c t\tAE K T\n")
    given = {"align": "true", "format": "tsv", "column": "letters", "label_column": "sounds"}
    first, second = (opened(shared, path, seed=seed, **given) for seed in ("1", "2"))
    assert second.data is first.data
    assert first.resolved.values["characters"] is second.resolved.values["characters"] is None
    asked = opened(shared, path, characters="cnn", **given)
    assert asked.data is not first.data and asked.resolved.values["characters"] == "cnn"
