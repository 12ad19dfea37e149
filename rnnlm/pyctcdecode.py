"""`rnnlm.pyctcdecode.LanguageModel`: a model of any kind for the CTC beam search of pyctcdecode."""

from rnnlm.integrations.pyctcdecode import LanguageModel

__all__ = ["LanguageModel"]
