"""Small wrong changes to a source file, each of which some test should notice."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
SWAPS = [("min", "max"), ("minimum", "maximum"), ("nanmin", "nanmax"), ("argmin", "argmax"), ("any", "all")]
SWAPS += [("floor", "ceil"), ("cumsum", "cumprod"), ("union", "intersection"), ("union_all", "intersection_all")]
OTHER = dict(SWAPS) | {b: a for a, b in SWAPS}
#: Keywords that check or name something and change no result: dropping them is no wrong change.
SPARED_KEYWORDS = {"strict", "cache", "nogil", "slots", "frozen", "stacklevel", "repr"}


class Mutant(NamedTuple):
    """One wrong change: what stands in `span` of the file becomes `new`."""

    file: str  # relative to the repository
    line: int
    span: tuple[int, int]  # characters of the file
    old: str
    new: str
    kind: str
    statement: tuple[int, int]  # first and last line of the innermost statement (of its head, where it has a body)
    compiled: bool  # inside a function that numba compiles
    function: str
    source: str  # the line it stands in, and which of its equals there it is

    @property
    def key(self) -> str:
        """What names this change as long as its line reads the same."""
        old, new = " ".join(self.old.split()), " ".join(self.new.split())
        return f"{self.file}::{self.function}: {self.source} : {old} -> {new}"

    def apply(self, text: str) -> str:
        return text[: self.span[0]] + self.new + text[self.span[1] :]


def mutants_of(path: Path, root: Path) -> list[Mutant]:
    """Return every mutant of one file, in order of place."""
    text = path.read_text(encoding="utf-8")
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    lines = text.split("\n")

    def place(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    found = []
    for node, new, kind, where in _walk(ast.parse(text)):
        span = place(node.lineno, node.col_offset), place(node.end_lineno or 0, node.end_col_offset or 0)
        before = text[starts[node.lineno - 1] : span[0]].count(text[slice(*span)])
        source = lines[node.lineno - 1].strip() + (f" [{before + 1}]" if before else "")
        mutant = Mutant(
            path.relative_to(root).as_posix(), node.lineno, span, text[slice(*span)], new, kind, *where, source
        )
        try:
            ast.parse(mutant.apply(text))
        except SyntaxError:
            continue  # a constant inside an f-string
        found.append(mutant)
    seen: Counter[str] = Counter()
    told = []
    for mutant in sorted(set(found), key=lambda m: (m.span, m.new)):
        seen[mutant.key] += 1
        again = seen[mutant.key]
        told.append(mutant if again == 1 else mutant._replace(source=f"{mutant.source} ({again})"))
    return told


def _walk(tree: ast.Module) -> Iterator[tuple[ast.expr, str, str, tuple[tuple[int, int], bool, str]]]:
    def visit(node: ast.AST, where: tuple[tuple[int, int], bool, str]) -> Iterator:
        if isinstance(node, ast.stmt):
            where = (_head(node), *where[1:])
        if isinstance(node, (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.JoinedStr)):
            return  # the words of messages
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            compiled = where[1] or any("njit" in ast.unparse(d) for d in node.decorator_list)
            where = (where[0], compiled, f"{where[2]}.{node.name}".lstrip("."))
        if isinstance(node, ast.expr):
            yield from ((node, new, kind, where) for new, kind in _changes(node))
        if isinstance(node, (ast.If, ast.While, ast.IfExp)):
            yield node.test, f"(not ({ast.unparse(node.test)}))", "condition negated", where
        if isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
            yield node.value, "None", "returns None", where
        for name, value in ast.iter_fields(node):
            if name in {"annotation", "returns", "decorator_list", "type_params"}:
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from visit(child, where)

    yield from visit(tree, ((1, 1), False, ""))


def _head(node: ast.stmt) -> tuple[int, int]:
    body = getattr(node, "body", None)
    last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno or node.lineno
    return node.lineno, last


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _changes(node: ast.expr) -> Iterator[tuple[str, str]]:
    """Yield the source of each wrong form of one expression."""
    if isinstance(node, ast.Compare):
        for k, op in enumerate(node.ops):
            for other in COMPARISONS[type(op)]:
                ops = [*node.ops[:k], other(), *node.ops[k + 1 :]]
                yield f"({ast.unparse(ast.Compare(node.left, ops, node.comparators))})", "comparison"
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC and not _is_text(node.left):
        yield f"({ast.unparse(ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right))})", "arithmetic"
    elif isinstance(node, ast.BoolOp):
        other_op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"({ast.unparse(ast.BoolOp(other_op, node.values))})", "and / or"
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.UAdd):
        yield f"({ast.unparse(node.operand)})", "sign or negation dropped"
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield str(not node.value), "constant"
    elif _is_number(node):
        yield str(_value(node) + 1), "constant"
        if isinstance(_value(node), int):
            yield f"({_value(node) - 1})", "constant"
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in OTHER:
        yield OTHER[node.id], "min / max and the like"
    elif isinstance(node, ast.Attribute) and node.attr in OTHER:
        yield f"{ast.unparse(node.value)}.{OTHER[node.attr]}", "min / max and the like"
    elif isinstance(node, ast.Call):
        for k, keyword in enumerate(node.keywords):
            if keyword.arg is not None and keyword.arg not in SPARED_KEYWORDS:
                kept = [*node.keywords[:k], *node.keywords[k + 1 :]]
                yield ast.unparse(ast.Call(node.func, node.args, kept)), "argument dropped"


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _value(node: ast.expr) -> int | float:
    assert isinstance(node, ast.Constant)
    assert isinstance(node.value, int | float)
    return node.value
