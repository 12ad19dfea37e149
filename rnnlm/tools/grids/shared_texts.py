"""Texts that are read and encoded once for several training runs."""

from dataclasses import replace

from rnnlm import registry
from rnnlm.config import ResolvedSettings, names_of
from rnnlm.text.lines import HoldoutSettings, Progress
from rnnlm.training.line_texts import held_out_share, is_share_chosen
from rnnlm.training.request import Texts, TrainingRequest


class SharedTexts:
    """Opens the texts of the runs of a grid: a text that was read and encoded once is handed to
    every run that would read and encode it in the same way. All have the same `tokenizer_from`."""

    def __init__(self, tokenizer_from: str | None) -> None:
        self.tokenizer_from = tokenizer_from
        self.texts: dict[str, Texts] = {}

    def __call__(
        self,
        request: TrainingRequest,
        resolved: ResolvedSettings,
        kind: registry.Kind,
        progress: Progress,
    ) -> Texts:
        key = _key(request, resolved, kind)
        if key not in self.texts:
            shared = replace(request, tokenizer_from=self.tokenizer_from)
            task = registry.task(kind.task)
            self.texts[key] = task.open_texts(shared, resolved, kind, progress)
            return self.texts[key]

        # The texts are there already. They bring this run the settings that they brought the first.
        texts = self.texts[key]
        return replace(texts, resolved=resolved.with_added(texts.resolved.added))


def _key(request: TrainingRequest, resolved: ResolvedSettings, kind: registry.Kind) -> str:
    """Return a text that is the same for runs that read and encode their texts in the same way."""
    task = registry.task(kind.task)
    parts: list[object] = [
        kind.task, request.text, request.counts, request.valid, request.test,
        request.target, request.valid_target, request.test_target,
    ]  # fmt: skip

    # Settings that change how a text is read. A requested one may be applied more strictly.
    names = names_of(cls for cls in task.text_settings if cls is not HoldoutSettings)
    names |= task.settings_of_data

    # The share that is held out, and the seed that may draw it, matter only without a validation
    # text.
    if request.text and not request.valid:
        parts += [held_out_share(request, resolved), is_share_chosen(resolved)]
    else:
        names -= {"seed"}
    for name in sorted(names & resolved.values.keys()):
        parts.append((name, resolved.values[name], resolved.is_requested(name)))

    # Whether the characters of words are read, too: their use is up to the network. A kind without
    # that setting reads the same as one that does not use it.
    has_characters = "characters" in resolved.values
    parts.append(bool(resolved.values.get("characters")))
    parts.append(has_characters and resolved.is_requested("characters"))
    return repr(parts)
