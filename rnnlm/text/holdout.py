"""What is done where no validation text is named: a share of the text is held out."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

from msgspec import Meta

from rnnlm.config import Probability


@dataclass(frozen=True)
class HoldoutSettings:
    """What is done where no validation text is named."""

    NEEDS = MappingProxyType({"holdout": {"valid": (None,)}})

    holdout: Annotated[Probability, Meta(description="share of the text held out for validation; 0: none")] = 0.05
