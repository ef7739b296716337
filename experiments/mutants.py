"""Small changes of a source: one operator, constant, comparison, call or statement each.

A mutant is a defect as people make them. `mutants_of` lists all of a source; `mutate.py` draws some
and asks the tests. Left out are docstrings, annotations, decorators, imports and assertions.
"""

import ast
from collections.abc import Iterator
from types import CodeType
from typing import Final, NamedTuple

BINARY: Final = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
COMPARISON: Final = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
CALLS: Final = {
    "min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum",
    "any": "all", "all": "any", "floor": "ceil", "ceil": "floor",
}  # fmt: skip


class Mutant(NamedTuple):
    """A source with one change."""

    lines: tuple[int, int]  # first and last line of the statement, or of a condition's head
    old: str
    new: str
    text: str  # the whole source after the change


def mutants_of(source: str) -> list[Mutant]:
    """All mutants of a source, in its order; not all of them are other programmes (`differs`)."""
    place = _Place(source)
    made = []
    for node, statement in _nodes(ast.parse(source).body):
        for part, new in _changes(node):
            start, end = place.of(part)
            text = source[:start] + new + source[end:]
            made.append(Mutant(_lines(statement), source[start:end], new, text))
    return made


def differs(source: str, text: str) -> bool:
    """Whether a changed source is a programme, and another one."""
    try:
        return _compiled(text) != _compiled(source)
    except SyntaxError:  # such as half of an f-string
        return False


def _compiled(source: str) -> object:
    return _essence(compile(source, "mutant", "exec", dont_inherit=True))


def _essence(code: CodeType) -> object:
    """What a code does, wherever its text stands."""
    parts = [
        _essence(c) if isinstance(c, CodeType) else (type(c).__name__, repr(c))
        for c in code.co_consts
    ]
    return code.co_code, code.co_names, code.co_varnames, parts


class _Place:
    """Where nodes lie in a text; columns of `ast` count bytes."""

    def __init__(self, source: str) -> None:
        self.lines = source.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def of(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self._at(node.lineno, node.col_offset),
            self._at(node.end_lineno, node.end_col_offset),
        )

    def _at(self, line: int, column: int) -> int:
        return self.starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())


def _nodes(body: list[ast.stmt]) -> Iterator[tuple[ast.expr | ast.stmt, ast.stmt]]:
    """Statements and expressions that may change, each with the statement it belongs to."""
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom | ast.Assert | ast.Pass):
            continue
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        yield statement, statement
        for field, value in ast.iter_fields(statement):
            if field in ("annotation", "returns", "decorator_list", "bases", "keywords", "targets"):
                continue
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, ast.stmt):
                    yield from _nodes([part])
                elif isinstance(part, ast.ExceptHandler | ast.match_case):
                    yield from _nodes(part.body)
                elif isinstance(part, ast.arguments):
                    defaults = [*part.defaults, *(d for d in part.kw_defaults if d is not None)]
                    for default in defaults:
                        yield from _expressions(default, statement)
                elif isinstance(part, ast.expr):
                    yield from _expressions(part, statement)
                elif isinstance(part, ast.withitem):
                    yield from _expressions(part.context_expr, statement)


def _expressions(
    node: ast.expr, statement: ast.stmt
) -> Iterator[tuple[ast.expr | ast.stmt, ast.stmt]]:
    for part in ast.walk(node):
        if isinstance(part, ast.expr) and not isinstance(part, ast.JoinedStr):
            yield part, statement


def _changes(node: ast.expr | ast.stmt) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """What may stand in place of a node, or of a part of it."""
    match node:
        case ast.If() | ast.While():
            if isinstance(node.test, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
                yield node.test, f"(not {ast.unparse(node.test)})"
        case ast.IfExp():
            yield node, f"({ast.unparse(ast.IfExp(node.test, node.orelse, node.body))})"
        case ast.BinOp() if type(node.op) in BINARY and not _is_text(node):
            yield (
                node,
                f"({ast.unparse(ast.BinOp(node.left, BINARY[type(node.op)](), node.right))})",
            )
        case ast.Compare():
            for k, op in enumerate(node.ops):
                for kind in COMPARISON[type(op)]:
                    ops = [*node.ops[:k], kind(), *node.ops[k + 1 :]]
                    yield node, f"({ast.unparse(ast.Compare(node.left, ops, node.comparators))})"
        case ast.BoolOp():
            swapped = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield node, f"({ast.unparse(ast.BoolOp(swapped, node.values))})"
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node, f"({ast.unparse(node.operand)})"
        case ast.Constant():
            yield from ((node, new) for new in _constants(node.value))
        case ast.Name(id=name) if name in CALLS:
            yield node, CALLS[name]
        case ast.Attribute(attr=name) if name in CALLS:
            yield node, f"{ast.unparse(node.value)}.{CALLS[name]}"
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Continue() | ast.Break():
            yield node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield node, "pass"


def _constants(value: object) -> Iterator[str]:
    if isinstance(value, bool):
        yield str(not value)
    elif isinstance(value, int):
        yield str(value + 1)
    elif isinstance(value, float):
        yield repr(value * 1.1 if value else 1.0)
    elif isinstance(value, str) and value.strip():
        yield repr("changed " + value)


def _is_text(node: ast.BinOp) -> bool:
    """Whether an operator joins or fills text: other operators would only raise."""
    sides = (node.left, node.right)
    return any(
        isinstance(s, ast.JoinedStr) or (isinstance(s, ast.Constant) and isinstance(s.value, str))
        for s in sides
    )


def _lines(statement: ast.stmt) -> tuple[int, int]:
    """Lines of a statement; of one with a body, those before it."""
    body = getattr(statement, "body", None)
    last = statement.end_lineno or statement.lineno
    if isinstance(body, list) and body:
        last = max(body[0].lineno - 1, statement.lineno)
    return statement.lineno, last
