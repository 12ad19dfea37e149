"""Choose the folder of a run that names none: in ./checkpoints, named after its text and the kind
of model."""

import glob
import os
import re
from pathlib import Path

from rnnlm import registry
from rnnlm.interface import Task
from rnnlm.lm.base.loading import CHECKPOINTS
from rnnlm.storage.files import tables
from rnnlm.storage.files.compression import without_suffix
from rnnlm.storage.files.reading import STANDARD_INPUT
from rnnlm.text.sources import HUB
from rnnlm.training.language_model import DEMO_RECIPE
from rnnlm.training.request import TrainingRequest
from rnnlm.training.resolution import ResolvedRequest

LONGEST_NAME = 100  # of a text; file systems take 255 bytes, and kinds come behind it
# Suffixes of text files besides the suffixes of tables. Others, such as .en and .fr, distinguish
# texts.
_TEXT_SUFFIXES = {".txt", ".text", ".tokens", ".raw", ".conll", ".conllu", ".arrow"}
# A file named after its use is less informative than its folder.
_TRAINING_PART = "train"


def usual_folder(request: TrainingRequest, settled: ResolvedRequest) -> Path:
    """Return ./checkpoints/TEXT-KIND, or TEXT-RECIPE; of a task, TEXT-TASK-KIND, since kinds of
    several tasks have the same name."""
    task = registry.task(settled.kind.task)
    # The recipe of the demo is taken without being named.
    is_demo = settled.recipe == DEMO_RECIPE and request.takes_bundled
    made = settled.kind.name if settled.recipe is None or is_demo else settled.recipe
    if task.option:
        made = f"{task.name}-{made}"
    return CHECKPOINTS / f"{text_name(request, task)}-{made}"


def text_name(request: TrainingRequest, task: Task) -> str:
    """Return the name of a request's text in names of folders: of the first one of several."""
    if request.counts is not None:
        return _safe(_without_suffixes(_last_part(request.counts)))
    if not request.text:
        return task.usual_corpus
    text = request.text[0]
    if text == STANDARD_INPUT:
        return "stdin"
    if text.startswith(HUB):
        return _safe(text.rpartition("/")[2])
    if glob.has_magic(text) and not os.path.exists(text):
        return _safe(_name_of_glob(text))

    # The name of the file, or of its folder if the file is called "train".
    name = _without_suffixes(_last_part(text))
    folder = os.path.dirname(text)
    if name == _TRAINING_PART and folder:
        name = _last_part(folder)
    return _safe(name)


def _last_part(path: str) -> str:
    """Return the name of a file or folder, also of one given as `.` or `..`."""
    return os.path.basename(os.path.abspath(path))


def _name_of_glob(pattern: str) -> str:
    """Return how the names of the files begin, or if they begin in many ways, their folder."""
    folder, beginning = os.path.split(re.split(r"[*?\[]", pattern)[0])
    return _without_suffixes(beginning.rstrip("._-")) or _last_part(folder)


def _without_suffixes(name: str) -> str:
    """Return the name of a file without the suffixes of texts, tables and compression."""
    known = {*_TEXT_SUFFIXES, *tables.SUFFIXES}
    while True:
        shorter = without_suffix(name)
        suffix = Path(shorter).suffix
        if suffix.lower() in known:
            shorter = shorter.removesuffix(suffix)
        if shorter == name:
            return name
        name = shorter


def _safe(name: str) -> str:
    """Return a name with only those characters that suit file names and command lines."""
    return re.sub(r"[^\w.-]+", "-", name)[:LONGEST_NAME].strip(".-") or "text"
