"""Texts that are read once for several training runs."""

from collections.abc import Callable
from dataclasses import replace

from rnnlm.config import Resolved, names_of
from rnnlm.models import registry
from rnnlm.tasks.line_texts import held_out_share, is_share_asked
from rnnlm.tasks.request import Texts
from rnnlm.text.corpus import HoldoutSettings
from rnnlm.text.lines import Progress
from rnnlm.training.request import Request

Opener = Callable[[Request, Resolved, registry.Kind, Progress], Texts]


class SharedTexts:
    """An Opener for runs of one text: what was read and encoded is handed to each run that would
    read and encode it alike. tokenizer_from: of all runs."""

    def __init__(self, tokenizer_from: str | None) -> None:
        self.tokenizer_from = tokenizer_from
        self.found: dict[str, Texts] = {}

    def __call__(
        self, request: Request, resolved: Resolved, kind: registry.Kind, progress: Progress
    ) -> Texts:
        task = registry.task(kind.task)
        names = sorted(names_of(cls for cls in task.text_settings if cls is not HoldoutSettings))
        has_valid = request.valid or not request.text  # so that nothing is held out
        share = () if has_valid else (held_out_share(kind, resolved), is_share_asked(resolved))
        parts = (
            [
                (resolved.values[name], resolved.is_asked(name))
                for name in (*names, *sorted(task.settings_of_data))
                if name in resolved.values
            ],
            share,
            bool(resolved.values.get("characters")),
            "characters" in resolved.values and resolved.is_asked("characters"),
        )
        files = [
            getattr(request, part + beside)
            for beside in ("labels", "target")
            for part in ("", "valid_", "test_")
        ]
        key = repr((kind.task, request.text, request.valid, request.test, files, parts))
        if key not in self.found:
            self.found[key] = task.open_texts(
                replace(request, tokenizer_from=self.tokenizer_from), resolved, kind, progress
            )
            return self.found[key]

        # The same texts for this run: they bring it what they brought the first one.
        texts = self.found[key]
        for layer in texts.resolved.found:
            resolved = resolved.with_found(layer.origin, layer.values)
        return replace(texts, resolved=resolved)
