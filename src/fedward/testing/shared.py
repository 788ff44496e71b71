"""An attack and a rule that look at the same rows must not get in each other's way."""

from __future__ import annotations

import torch

from ..aggregator import Aggregator
from ..rule import Rule
from ..stack import Dense, Gram, Joined, Rooted, SignConcordance, SignCounts, SqNorms, materialise
from .compare import same
from .stacks import random_stack, root_data, said


def check_shared(rule: Rule) -> None:
    """decides on the rows that arrive, whatever an attack asked of the stack that it made them of"""
    G = random_stack(rule, seed=7)
    m = min(max(getattr(rule, "f", 1), 1), len(G) - 1)
    before = Dense(G)
    before.compute(SqNorms(), SignCounts(), Gram(), SignConcordance())
    honest = before.take(torch.arange(m, len(G)))
    turned = torch.full((m, honest.n), -10 / honest.n, dtype=torch.float64)
    sent = Joined(honest.mix(turned), honest)
    sent.compute(SqNorms(), Gram())
    arrived, fresh = Rooted(sent, tuple(range(len(G)))), Dense(materialise(sent))
    evaluator, messages = root_data(rule, G.shape[1]), said(range(len(G)))
    verdicts = [Aggregator(rule)(stack, messages=messages, evaluator=evaluator) for stack in (arrived, fresh)]
    same(*verdicts)
