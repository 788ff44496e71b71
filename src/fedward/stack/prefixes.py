"""Names of tensors that are others' with something before each, as wrappers of a module put it there."""

from __future__ import annotations

from collections.abc import Collection, Hashable


def prefix_before(names: Collection[Hashable], wanted: Collection[Hashable]) -> str:
    """What stands before every one of the wanted names in the names that there are.

    Wrappers name what they hold by their own attribute: DataParallel and DDP "module.", torch.compile "_orig_mod.",
    Lightning whatever the user called it.

    Returns:
        It, with its point at the end; "" if these are the same names, or differ in anything else.

    Examples:
        >>> prefix_before(["module.weight", "module.bias"], ["bias", "weight"])
        'module.'
        >>> prefix_before(["weight"], ["module.weight"])
        ''
    """
    texts = [name for name in names if isinstance(name, str)]
    bare = [name for name in wanted if isinstance(name, str)]
    if not bare or len(bare) < len(wanted) or len(texts) < len(names) or len(bare) != len(texts):
        return ""
    # The same before all leaves their order as it is.
    first, last = min(texts), min(bare)
    prefix = first.removesuffix(last)
    same = {prefix + name for name in bare} == set(texts)
    return prefix if same and prefix.endswith(".") else ""
