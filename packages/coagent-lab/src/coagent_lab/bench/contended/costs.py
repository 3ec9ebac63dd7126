"""What a simulated agent's thinking costs, in seconds and tokens: the assumptions of the benchmark."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Costs:
    """The parameters of simulated inference. They are printed with every result.

    Args:
        startup_s: Time to the first token of an inference.
        tokens_per_s: Rate of output.
        reasoning_tokens: Median output of an inference beside its call; log-normal by seed.
        reasoning_sigma: Its spread (standard deviation of the logarithm).
        closing_tokens: Output of the inference with which an agent ends its work.
        repair_tokens: Median output of an inference that judges notices, beside the calls it issues.
        look_tokens: Median output of an inference that looks at standing writes once more, beside its calls.
        prompt_tokens: Instructions and tool schemas, in front of every context.
        judging_prompt_tokens: The prompt that asks an agent which has already finished about its notices.
        characters_per_token: For goals, arguments, results and notices.
        cached_share: What a token of a cached prefix costs, as a share of a fresh one.
        tool_s: Time that a tool call takes.
    """

    startup_s: float = 1.2
    tokens_per_s: float = 60.0
    reasoning_tokens: float = 230.0
    reasoning_sigma: float = 0.35
    closing_tokens: float = 80.0
    repair_tokens: float = 120.0
    look_tokens: float = 40.0
    prompt_tokens: int = 1800
    judging_prompt_tokens: int = 250
    characters_per_token: float = 4.0
    cached_share: float = 0.1
    tool_s: float = 0.2

    def tokens_of(self, value: Any) -> int:
        """Return the number of tokens of plain data."""
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=str)
        return max(1, round(len(text) / self.characters_per_token))

    def output(self, median: float, randomness: random.Random) -> int:
        """Draw the output of one inference."""
        return max(1, round(median * randomness.lognormvariate(0.0, self.reasoning_sigma)))

    def seconds(self, output_tokens: int) -> float:
        """Return how long an inference takes."""
        return self.startup_s + output_tokens / self.tokens_per_s

    def as_dict(self) -> dict[str, float]:
        """Return the parameters by name."""
        return asdict(self)


@dataclass
class Ledger:
    """What one agent's inferences have cost so far.

    Args:
        tokens: Every token that went in or out.
        cached_tokens: The same with prompt caching: a prefix that was sent before costs `cached_share`.
        inferences: How many there were.
        judgings: Those of them that a notice caused.
        seconds: How long they took.
    """

    tokens: int = 0
    cached_tokens: float = 0.0
    inferences: int = 0
    judgings: int = 0
    seconds: float = 0.0

    def extend(self, costs: Costs, output: int) -> float:
        """Charge more output of the inference before, and return how much longer that takes."""
        self.tokens += output
        self.cached_tokens += output
        seconds = output / costs.tokens_per_s
        self.seconds += seconds
        return seconds

    def charge(self, costs: Costs, context: int, prefix: int, output: int) -> float:
        """Charge one inference and return how long it takes.

        Args:
            costs: The parameters.
            context: Tokens that go in.
            prefix: Those of them that were sent before.
            output: Tokens that come out.
        """
        self.inferences += 1
        self.tokens += context + output
        self.cached_tokens += prefix * costs.cached_share + (context - prefix) + output
        seconds = costs.seconds(output)
        self.seconds += seconds
        return seconds
