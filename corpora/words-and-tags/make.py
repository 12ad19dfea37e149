"""Makes train.conllu, valid.conllu and test.conllu of sentences.txt, where each word has its part
of speech behind a slash.

The sentences are those of the training part of the bundled corpus `english`, from which their
spelling is taken: where words stand apart, and which words were split (don't -> do n't). A sentence
that is not there, or a tag that is none, is an error: `python make.py`.
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
    known = {
        line.replace(" ", ""): line for line in SOURCE.read_text(encoding="utf-8").splitlines()
    }
    found = []
    for line in (FOLDER / "sentences.txt").read_text(encoding="utf-8").splitlines():
        words = [(word, tag) for word, _, tag in (each.rpartition("/") for each in line.split(" "))]
        if unknown := {tag for _, tag in words} - TAGS:
            raise ValueError(f"no tags: {unknown} in {line}")
        found.append((known["".join(word for word, _ in words)], words))
    return found


def conllu(number: int, text: str, words: list[tuple[str, str]]) -> str:
    """Format a sentence in CoNLL-U. A word that was split gets a line with its range; a word that
    no space follows gets SpaceAfter=No."""
    rows, rest = [f"# sent_id = words-and-tags-{number:03}", f"# text = {text}"], text
    ends = []  # whether a blank (or the end) follows each word
    for word, _ in words:
        rest = rest.removeprefix(word)
        ends.append(not rest or rest[0] == " ")
        rest = rest.lstrip(" ")
    for at, (word, tag) in enumerate(words):
        is_split = at + 1 < len(words) and words[at + 1][0] in CLITICS
        if is_split:
            space = "_" if ends[at + 1] else "SpaceAfter=No"
            rows.append(
                "\t".join([f"{at + 1}-{at + 2}", word + words[at + 1][0], *"_______", space])
            )
        is_whole = not is_split and word not in CLITICS
        rows.append(
            "\t".join(
                [
                    f"{at + 1}",
                    word,
                    "_",
                    tag,
                    *"_____",
                    "SpaceAfter=No" if is_whole and not ends[at] else "_",
                ]
            )
        )
    return "\n".join(rows) + "\n\n"


def files() -> dict[str, str]:
    """Return the content of each file, by its name."""
    texts = dict.fromkeys((f"{part}.conllu" for part in PART_OF), "")
    for number, (text, words) in enumerate(sentences(), start=1):
        texts[f"{PART_OF[(number - 1) % len(PART_OF)]}.conllu"] += conllu(number, text, words)
    return texts


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
