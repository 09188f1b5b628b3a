"""Methods that compile once for each object when they are called outside jit.

Called eagerly, a method with scans and branches would compile them again at every call, since
they hold new functions each time. Inside jit, vmap or grad such a method is unchanged.
"""

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.core import Tracer

Method = TypeVar("Method", bound=Callable[..., Any])

# Of every object: method -> its program. Neither holds the object, which ends when its user says.
_PROGRAMS: weakref.WeakKeyDictionary[Any, dict[Any, Callable]] = weakref.WeakKeyDictionary()


def compiled_once(
    *static: str, compile: Callable[..., Callable] | None = None
) -> Callable[[Method], Method]:
    """A decorator of methods: the first eager call on an object compiles, later ones of the same
    shapes run that program. A call with tracers among its arguments runs the method itself.

    The object's attributes are constants of its programs: it must not change after the first call.

    Args:
        *static: names of arguments that are no arrays.
        compile: `compile(object, function, static_argnames=...)` in place of `jax.jit(function,
            static_argnames=...)`; the function takes what the method takes after `self`.
    """

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if _traced(args, kwargs):
                return method(self, *args, **kwargs)
            programs = _PROGRAMS.setdefault(self, {})
            if method not in programs:
                bound = _bound(method, self)
                jit = jax.jit if compile is None else functools.partial(compile, self)
                programs[method] = jit(bound, static_argnames=static)
            return programs[method](*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def compiled(function: Method) -> Method:
    """A function of arrays whose eager calls run one program; calls with tracers run itself."""
    program = jax.jit(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return (function if _traced(args, kwargs) else program)(*args, **kwargs)

    return call  # type: ignore[return-value]


def _traced(args: tuple, kwargs: dict[str, Any]) -> bool:
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((args, kwargs)))


def _bound(method: Callable[..., Any], owner: Any) -> Callable[..., Any]:
    """The method of an object as a function that does not keep the object alive."""
    reference = weakref.ref(owner)

    def function(*args: Any, **kwargs: Any) -> Any:
        return method(reference(), *args, **kwargs)

    signature = inspect.signature(method)
    parameters = list(signature.parameters.values())[1:]
    functools.update_wrapper(function, method)
    function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return function
