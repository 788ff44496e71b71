"""What is said of running statistics in clients' files, which no rule judges."""

from __future__ import annotations

from ..stack import Policy, RowSource
from ..stack.running import odd_notes


def statistics_notes(stack: RowSource, policy: Policy | None) -> tuple[str, ...]:
    """Whose statistics are odd, and that no rule judges them; nothing of models that have none.

    Args:
        stack: of the clients.
        policy: of the output; None if there is none.
    """
    if stack.agreed is None or stack.layout is None or not stack.layout.buffers:
        return ()
    count = len(stack.layout.buffers)
    tensors = "1 tensor" if count == 1 else f"{count} tensors"
    fate = _fate(policy, bounded=bool(stack.agreed.before))
    return (
        *odd_notes(stack.agreed, stack.layout),
        f"{tensors} of running statistics: no rule judges them; {fate}",
    )


def _fate(policy: Policy | None, *, bounded: bool) -> str:
    within = ", within a bound of the base's" if bounded else ""
    return {
        None: "an aggregate has their median over clients, unless --batch-norm says otherwise",
        "robust": f"the output has their median over all usable clients{within} (--batch-norm robust)",
        "mean": "the output has their mean over accepted clients, which any of these can move (--batch-norm mean)",
        "frozen": "the output has the base's (--batch-norm frozen)",
    }[policy]
