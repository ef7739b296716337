"""Conversations: which requests of a day continue earlier ones."""

import heapq
from typing import NamedTuple

import numpy as np

from sim.scenario.demand import Tenant
from sim.types import Floats, Ints


class Talks(NamedTuple):
    """Requests of a tenant and a day, in order of time, as turns of conversations."""

    prompt: Ints  # (request,) tokens, the conversation so far included
    talk: Ints  # (request,) number of its conversation in the day


def talks(
    tenant: Tenant, sent_s: Floats, text: Ints, output: Ints, draw: np.random.Generator
) -> Talks:
    """Assign each request to a conversation: the one that is longest overdue, or else a new one.

    After a turn a conversation continues with probability 1 - 1 / `turns`, and is due after an
    exponential time of mean `think_s` from the last question. A prompt is the system prompt, the
    conversation so far (answers included) and the new `text`. A conversation that would exceed
    `max_tokens` ends. None crosses midnight (approximation), and a turn does not wait for an answer
    that is late (approximation).
    """
    goes_on = draw.random(len(sent_s)) >= 1.0 / tenant.turns
    pauses_s = draw.exponential(1.0, len(sent_s)) * tenant.think_s
    prompt, talk = np.zeros(len(sent_s), dtype=np.int64), np.zeros(len(sent_s), dtype=np.int64)
    due: list[tuple[float, int, int]] = []  # due time, conversation, tokens so far
    count = 0
    for i, now_s in enumerate(sent_s.tolist()):
        said, which = tenant.system_prompt_tokens, -1
        if due and due[0][0] <= now_s:
            _, which, before = heapq.heappop(due)
            if before + int(text[i]) <= tenant.max_tokens:
                said = before
            else:
                which = -1
        if which < 0:
            which, count = count, count + 1
        prompt[i] = min(said + int(text[i]), tenant.max_tokens)
        talk[i] = which
        if goes_on[i]:
            heapq.heappush(due, (now_s + pauses_s[i], which, int(prompt[i] + output[i])))
    return Talks(prompt, talk)
