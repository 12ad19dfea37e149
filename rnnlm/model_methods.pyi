"""The methods, settings and keywords that satellites bring.

Written by tests/support/satellite_files.py."""

from rnnlm.tasks.labelling.methods import LabellingMethods
from rnnlm.tasks.seq2seq.methods import SourceKeywords, TranslationKeywords, TranslationMethods
from rnnlm.tasks.seq2seq.options import TargetSentences
from rnnlm.tools.inspection.methods import InspectionMethods
from rnnlm.tools.mixtures.methods import AdaptationMethods
from rnnlm.tools.pairs.methods import PairMethods
from rnnlm.tools.vectors.methods import VectorMethods

class ModelMethods(
    LabellingMethods,
    TranslationMethods,
    InspectionMethods,
    AdaptationMethods,
    PairMethods,
    VectorMethods,
): ...
class SentencePart(TargetSentences): ...
class EvaluationKeywords(TranslationKeywords): ...
class ConditionKeywords(SourceKeywords): ...
