"""Where models are served, and how much a request may ask for."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from rnnlm.config import Checked, Count

Port = Annotated[int, Meta(ge=0, le=65535)]


@dataclass(frozen=True)
class ServingSettings(Checked):
    """Where models are served, and how much a request may ask for."""

    host: Annotated[str, Meta(description="address to listen at")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="port to listen at; 0: any that is free")] = 8000
    workers: Annotated[Count, Meta(description="processes that answer requests")] = 1

    # How much a request may ask for.
    max_sentences: Annotated[
        Count, Meta(description="sentences, lines or hypotheses of a request")
    ] = 256
    max_characters: Annotated[Count, Meta(description="characters of all texts of a request")] = (
        100_000
    )
    max_tokens: Annotated[Count, Meta(description="tokens of a generated text")] = 1000
    max_samples: Annotated[Count, Meta(description="generated texts of a request")] = 16
    max_words: Annotated[Count, Meta(description="likely words at a place")] = 100
