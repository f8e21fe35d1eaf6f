import ast
import inspect
import pickle
from pathlib import Path

import pytest

from deployments import errors
from deployments.errors import ServiceError
from deployments.messages import Location

SOURCES = Path(errors.__file__).parent.rglob("*.py")

EXAMPLES = [
    errors.InvalidInput("`n` must be positive.", "n"),
    errors.UnknownField("There is no field `x`.", "x"),
    errors.InvalidImage("unreadable", "image"),
    errors.UnsupportedImage("no picture", "image"),
    errors.ImageTooLarge("too large", "image"),
    errors.KeyReused("another request", "Idempotency-Key"),
    errors.UnsupportedBody("no form"),
    errors.BrokenForm("cut off"),
    errors.ModelNotFound("no such model", "model"),
    errors.TargetNotFound(Location("the cat", "cat", (3, 4), 0.2, -1.4, False, None), (640, 480)),
    errors.ContentFiltered((7, 8)),
    errors.ContentFiltered((7, 8), removes=True),
    errors.Overloaded("busy", 2.5),
    errors.DeadlineExceeded("too slow"),
    errors.NotReady("Not ready: sam."),
    errors.ModelFailed("the stage failed"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_survive_the_trip_between_processes(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert repr(vars(copy)) == repr(vars(error))  # a Location holds arrays, so it has no equality
    assert str(copy) == error.message


def test_every_error_has_an_example_and_its_own_answer():
    classes = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, ServiceError)]
    assert {type(error) for error in EXAMPLES} == set(classes) - {ServiceError}
    assert len({cls.code for cls in classes}) == len(classes)
    assert all(400 <= cls.status < 600 and cls.__doc__ for cls in classes)


def test_the_tree_in_the_docstring_is_true():
    for error in EXAMPLES:
        line = next(line for line in errors.__doc__.splitlines() if f" {type(error).__name__} " in line)
        assert str(error.status) in line


def refusals_in(source):
    """Return the refusals of a field whose sentence stands where they are raised, with what is filled in as "{}"."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and len(node.args) > 1)
    return [
        "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in getattr(words, "values", [words]))
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "InvalidInput"
        for words in call.args[:1]
        if isinstance(words, (ast.Constant, ast.JoinedStr))
    ]


def test_every_refusal_of_a_field_begins_with_its_name_in_backticks():
    refusals = [refusal for source in SOURCES for refusal in refusals_in(source.read_text())]
    assert len(refusals) > 40
    assert [refusal for refusal in refusals if not refusal.startswith("`")] == []
