"""fedward keeps federated training on course when some of the clients lie."""

TYPE_CHECKING = False  # true for type checkers; even `typing` takes its time to load

__all__ = [
    "Aggregator",
    "Bound",
    "BoundError",
    "Context",
    "Evaluator",
    "Mixer",
    "Plan",
    "Reason",
    "Result",
    "RootEvaluator",
    "Rule",
    "ScalingMixer",
    "ServerSGD",
    "Simulation",
    "State",
    "Traits",
    "Updates",
    "attack",
    "attacks",
    "average_of",
    "build",
    "catalogue",
    "clients",
    "describe",
    "mixers",
    "parse",
    "register",
    "rule",
    "rules",
    "sim",
    "smallest",
    "testing",
]

if TYPE_CHECKING:
    __version__: str

    from . import attacks, clients, mixers, rules, sim, testing
    from .attacks import attack
    from .core import (
        Aggregator,
        Bound,
        BoundError,
        Context,
        Evaluator,
        Mixer,
        Plan,
        Reason,
        Result,
        RootEvaluator,
        Rule,
        ScalingMixer,
        State,
        Traits,
        average_of,
        smallest,
    )
    from .core.function import rule
    from .registry.entries import build, catalogue, register
    from .registry.notation import describe, parse
    from .sim import ServerSGD, Simulation
    from .stack import Updates
else:  # Loaded when first asked for: whoever wants the version or the command's help need not wait for PyTorch.
    _MODULES = {"attacks", "clients", "mixers", "rules", "sim", "testing"}
    _ELSEWHERE = {
        "ServerSGD": "sim",
        "Simulation": "sim",
        "Updates": "stack",
        "attack": "attacks",
        "build": "registry.entries",
        "catalogue": "registry.entries",
        "describe": "registry.notation",
        "parse": "registry.notation",
        "register": "registry.entries",
        "rule": "core.function",
    }
    _HOMES = dict.fromkeys(set(__all__) - _MODULES, "core") | _ELSEWHERE

    def __getattr__(name):
        """A public name, or a module of the package, loaded now."""
        from importlib import import_module, metadata

        if name == "__version__":
            return metadata.version("fedward")
        if name in _HOMES:
            found = getattr(import_module(f".{_HOMES[name]}", __name__), name)
            globals()[name] = found
            return found
        try:
            if not name.startswith("_"):
                return import_module(f".{name}", __name__)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
