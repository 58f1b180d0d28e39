"""What servers took, in words: of a model that was evaluated, and of the judge of its responses."""

from __future__ import annotations

from evals.stats.tables import Bill, JudgeBill


def cost_lines(cost: Bill | None) -> list[str]:
    """What the responses cost at their server."""
    if cost is None:
        return []
    tokens = f"{cost['prompt_tokens']:,} tokens asked, {cost['response_tokens']:,} answered"
    left = cost["uncounted"]
    missing = f"; the server counted no tokens for {left} responses, which are not in it" if left else ""
    return [f"cost {cost['total']:,.4f} ({tokens}){missing}"]


def judge_lines(cost: JudgeBill | None) -> list[str]:
    """What the judge read and wrote, and what that cost where its price is known."""
    if cost is None:
        return []
    tokens = f"{cost['prompt_tokens']:,} tokens read, {cost['response_tokens']:,} written"
    asked = f"{cost['requests']:,} requests, {tokens}"
    left = cost["uncounted"]
    missing = f"; its server counted no tokens for {left} requests, which are not in it" if left else ""
    total = cost.get("total")
    return [
        f"the judge used {asked}{missing}"
        if total is None
        else f"judge's cost {total:,.4f} ({asked}){missing}"
    ]
