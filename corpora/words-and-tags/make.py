"""Make train.conllu, valid.conllu and test.conllu from sentences.txt, where each word has its part
of speech behind a slash.

The sentences come from the training part of the bundled corpus `english`, which gives their
spelling: where words are separated, and which words were split (don't -> do n't). A sentence that
it lacks, or an unknown tag, is an error: `python make.py`.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
SOURCE = FOLDER.parent / "english" / "train.txt"
TAGS = {
    "ADJ",
    "ADP",
    "ADV",
    "AUX",
    "CCONJ",
    "DET",
    "INTJ",
    "NOUN",
    "NUM",
    "PART",
    "PRON",
    "PROPN",
    "PUNCT",
    "SCONJ",
    "VERB",
}
CLITICS = {"n't", "'s", "'m", "'re", "'ve", "'ll", "'d"}
PART_OF = ("train", "train", "train", "train", "valid", "test")  # of six sentences in a row


def sentences() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return (text, words with their tags) of each sentence."""
    lines = SOURCE.read_text(encoding="utf-8").splitlines()
    known = {line.replace(" ", ""): line for line in lines}
    found = []
    for line in (FOLDER / "sentences.txt").read_text(encoding="utf-8").splitlines():
        words = []
        for each in line.split(" "):
            word, _, tag = each.rpartition("/")
            words.append((word, tag))
        unknown = {tag for _, tag in words} - TAGS
        if unknown:
            raise ValueError(f"no tags: {unknown} in {line}")
        found.append((known["".join(word for word, _ in words)], words))
    return found


def conllu(number: int, text: str, words: list[tuple[str, str]]) -> str:
    """Format a sentence in CoNLL-U. A word that was split gets a line with its range; a word that
    no space follows gets SpaceAfter=No."""
    # What the last column says of each word: whether a space (or the end) follows it.
    spaces = []
    rest = text
    for word, _ in words:
        rest = rest.removeprefix(word)
        has_space = not rest or rest[0] == " "
        spaces.append("_" if has_space else "SpaceAfter=No")
        rest = rest.lstrip(" ")

    rows = [f"# sent_id = words-and-tags-{number:03}", f"# text = {text}"]
    for at, (word, tag) in enumerate(words):
        # A word that was split: its range comes first, and alone says whether a space follows.
        is_split = at + 1 < len(words) and words[at + 1][0] in CLITICS
        if is_split:
            whole = word + words[at + 1][0]
            rows.append("\t".join([f"{at + 1}-{at + 2}", whole, *"_______", spaces[at + 1]]))
        is_part = is_split or word in CLITICS
        space = "_" if is_part else spaces[at]
        rows.append("\t".join([f"{at + 1}", word, "_", tag, *"_____", space]))
    return "\n".join(rows) + "\n\n"


def files() -> dict[str, str]:
    """Return the content of each file, by its name."""
    texts = dict.fromkeys((f"{part}.conllu" for part in PART_OF), "")
    for number, (text, words) in enumerate(sentences()):
        part = PART_OF[number % len(PART_OF)]
        texts[f"{part}.conllu"] += conllu(number + 1, text, words)
    return texts


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
