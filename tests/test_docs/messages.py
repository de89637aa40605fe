"""What agvm_mm and its tools say when something is wrong, read from code.

A message is a list of its constant parts; between two of them stands what
varies. It is followed from where it is raised, warned of or written, through
names, helpers that return it and helpers that it is handed to.
"""
from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Of who develops agvm_mm, or repeats its measurements: not on the page.
DEVELOPERS = ('benchmark.py', 'benchmarks', 'config_page',
              'config_table.py', 'distribution.py', 'new_style',
              'optimizer_table.py', 'partitions', 'python_configs.py',
              'run_tests.sh', 'studies', 'study.py')
SETTINGS = ('.mim', 'configs')
VARIES = '\0'
SAYING = {'warn', 'warning', 'error', 'exit', 'print_log', 'write'}
DEPTH = 6
SCRIPT = 300  # characters: a constant in a text that is a program, not words


def files(suffix: str) -> list[Path]:
    """The files whose messages a user can meet."""
    return sorted(path for folder, others in (('agvm_mm', SETTINGS),
                                              ('tools', DEVELOPERS))
                  for path in (ROOT / folder).rglob(f'*{suffix}')
                  if not {*others} & {*path.relative_to(ROOT / folder).parts})


def pattern(message: str) -> re.Pattern:
    """A message as what finds it in a text."""
    parts = map(re.escape, message.split(VARIES))
    return re.compile('(.*?)'.join(parts))


def words(message: str) -> int:
    """The words of a message's constant parts."""
    return len(
        re.findall(r"(?<![\w.])[A-Za-z']+(?![\w.]*\.py)\b",
                   message.replace(VARIES, ' 0 ')))


def tidy(message: str) -> str:
    """One space between words, one gap where several follow, no tool."""
    message = re.sub(f'{VARIES}+', VARIES, message)
    message = re.sub(r'^\w+\.py: ', '', message)
    return re.sub(r'\s+', ' ', message).strip()


class Reader:
    """Finds the messages of Python sources.

    Args:
        sources (list[str]): Of the files.
    """

    def __init__(self, sources: list[str]) -> None:
        self.trees = [ast.parse(source) for source in sources]
        self.functions: dict[str, list[ast.FunctionDef]] = {}
        self.parent: dict[ast.AST, ast.AST] = {}
        self.calls: dict[str, list[ast.Call]] = {}
        for node in itertools.chain.from_iterable(map(ast.walk, self.trees)):
            for child in ast.iter_child_nodes(node):
                self.parent[child] = node
            if isinstance(node, ast.FunctionDef):
                self.functions.setdefault(node.name, []).append(node)
            if isinstance(node, ast.Call):
                self.calls.setdefault(_name(node.func), []).append(node)

    def messages(self) -> set[str]:
        """All that is raised, warned of or written."""
        found = set()
        for tree in self.trees:
            for node in ast.walk(tree):
                for said in _said(node):
                    found.update(self._in_all_callers(said))
        return {m for m in map(tidy, found) if words(m) > 1}

    def sentences(self) -> set[str]:
        """Every text of three words and more that is no help of a tool."""
        found = set()
        for tree in self.trees:
            for node in ast.walk(tree):
                if (isinstance(node, (ast.JoinedStr, ast.Constant))
                        and not self._is_aside(node)):
                    found.update(self.texts(node, {}, DEPTH))
        return {m for m in map(tidy, found) if words(m) > 2}

    def _is_aside(self, node: ast.AST) -> bool:
        """A docstring, a part of a text, a tool's help, or what is read."""
        above = self.parent[node]
        return isinstance(
            above, (ast.Expr, ast.JoinedStr, ast.FormattedValue)) or (
                isinstance(above, ast.keyword)
                and above.arg in ('help', 'description')) or (isinstance(
                    above, ast.Call) and _name(above.func) in
                                                 ('add_argument', 'compile'))

    def _in_all_callers(self, said: ast.expr) -> set[str]:
        """A text, with what each caller of its function hands to it."""
        function = self._function(said)
        handed = []
        if function is not None:
            handed = [
                self._handed(function, call)
                for call in self._near(self.calls, function)
            ]
        return {
            text
            for env in handed or [{}]
            for text in self.texts(said, env, DEPTH)
        }

    def _handed(self,
                function: ast.FunctionDef,
                call: ast.Call,
                depth: int = DEPTH - 2) -> dict[str, list[str]]:
        names = [
            a.arg for a in (*function.args.args, *function.args.kwonlyargs)
        ]
        if names[:1] in (['self'], ['cls']):
            names = names[1:]
        given = dict(zip(names, call.args))
        given.update((k.arg, k.value) for k in call.keywords if k.arg)
        return {k: self.texts(v, {}, depth) for k, v in given.items()}

    def texts(self, node: ast.AST | None, env: dict[str, list[str]],
              depth: int) -> list[str]:
        """What an expression can say; ``VARIES`` where that is not known."""
        if depth < 0:
            return [VARIES]
        if isinstance(node, ast.Constant):
            return [node.value if isinstance(node.value, str) else VARIES]
        if isinstance(node, ast.JoinedStr):
            parts = [self.texts(v, env, depth) for v in node.values]
            return [''.join(p) for p in itertools.product(*parts)]
        if isinstance(node, ast.FormattedValue):
            if node.conversion != -1 or node.format_spec:
                return [VARIES]
            return [
                VARIES if len(text) > SCRIPT else text
                for text in self.texts(node.value, env, depth)
            ]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            pair = (
                self.texts(side, env, depth)
                for side in (node.left, node.right))
            return [a + b for a, b in itertools.product(*pair)]
        if isinstance(node, ast.IfExp):
            either = [
                *self.texts(node.body, env, depth),
                *self.texts(node.orelse, env, depth)
            ]
            # The ending of a plural, a number.
            return [VARIES] if max(map(len, either)) < 4 else either
        if isinstance(node, ast.Name):
            if node.id in env:
                return env[node.id]
            return self._bound(node, env, depth)
        if isinstance(node, ast.Call):
            return self._returned(node, depth)
        return [VARIES]

    def _bound(self, name: ast.Name, env: dict[str, list[str]],
               depth: int) -> list[str]:
        """What a name stands for: a constant of the file, or a local one."""
        function = self._function(name)
        scope: ast.AST = function or self._module(name)
        values = []
        nodes = ast.walk(scope) if function else ast.iter_child_nodes(scope)
        for node in nodes:
            if isinstance(node, ast.Assign) and any(
                    isinstance(t, ast.Name) and t.id == name.id
                    for t in node.targets):
                values.append(node.value)
            elif (isinstance(node, ast.AugAssign)
                  and isinstance(node.target, ast.Name)
                  and node.target.id == name.id):
                # What is put together piece by piece.
                return [VARIES]
            elif (isinstance(node, ast.For) and name.id in _targets(node)
                  and isinstance(node.iter, ast.Call)):
                values.append(node.iter)
        if not values:
            for tree in self.trees if function else ():
                for node in tree.body:
                    if isinstance(node, ast.Assign) and any(
                            isinstance(t, ast.Name) and t.id == name.id
                            for t in node.targets):
                        values.append(node.value)
        found = [t for v in values for t in self.texts(v, env, depth - 1)]
        return list(dict.fromkeys(found)) or [VARIES]

    def _returned(self, call: ast.Call, depth: int) -> list[str]:
        """What a helper returns, or the items of the list that it returns."""
        found = []
        for function in self._near(self.functions, call):
            env = self._handed(function, call, depth - 1)
            for node in ast.walk(function):
                if isinstance(node, ast.Return):
                    for value in _items(node.value, function):
                        found += self.texts(value, env, depth - 1)
        if VARIES in found:
            found = [text for text in found if text]
        return list(dict.fromkeys(found)) or [VARIES]

    def _near(self, index: dict[str, list], node: ast.AST) -> list:
        """Functions or calls of a name: of the same file, if there are."""
        name = getattr(node, 'name', _name(getattr(node, 'func', node)))
        found = index.get(name, [])
        here = [n for n in found if self._module(n) is self._module(node)]
        return here if name.startswith('_') else here or found

    def _function(self, node: ast.AST) -> ast.FunctionDef | None:
        while node in self.parent:
            node = self.parent[node]
            if isinstance(node, ast.FunctionDef):
                return node
        return None

    def _module(self, node: ast.AST) -> ast.AST:
        while node in self.parent:
            node = self.parent[node]
        return node


def _name(function: ast.expr) -> str:
    return getattr(function, 'attr', getattr(function, 'id', ''))


def _said(node: ast.AST) -> list[ast.expr]:
    """What a statement or a call says to the user."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        return node.exc.args[:1]
    if isinstance(node, ast.Call) and _name(node.func) in SAYING:
        return node.args[:1]
    return []


def _targets(loop: ast.For) -> set[str]:
    return {n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)}


def _items(value: ast.expr | None,
           function: ast.FunctionDef) -> list[ast.expr | None]:
    if isinstance(value, ast.List):
        return list(value.elts)
    if not isinstance(value, ast.Name):
        return [value]
    found: list[ast.expr | None] = [
        node.args[0] for node in ast.walk(function)
        if isinstance(node, ast.Call) and _name(node.func) == 'append'
        and getattr(node.func.value, 'id', '') == value.id
    ]
    for node in ast.walk(function):
        if (isinstance(node, ast.Assign)
                and getattr(node.targets[0], 'id', '') == value.id):
            found += (
                node.value.elts
                if isinstance(node.value, ast.List) else [node.value])
    return found or [value]


def shell_messages(source: str) -> set[str]:
    """What a shell script says before it ends: ``die`` and ``echo ... >&2``.

    Args:
        source (str): Of the script.
    """
    found = set()
    for match in re.finditer(r'\b(die|echo) (["\'])', source):
        text, end = _quoted(source, match.end(), match[2])
        if match[1] == 'die' or source[end:].startswith(' >&2'):
            found.add(tidy(text))
    return found


def _quoted(source: str, at: int, quote: str) -> tuple[str, int]:
    """A shell's string, with ``VARIES`` for what is expanded in it."""
    text = ''
    while source[at] != quote:
        expansion = quote == '"' and re.compile(
            r'\$(?:[\w*@]+|\{[^}]*(?:\}[^"{$ ]*?\})?)|\$\(').match(source, at)
        if not expansion:
            text += source[at]
            at += 1
            continue
        at = expansion.end()
        if expansion[0] == '$(':
            open_ = 1
            while open_:
                open_ += {'(': 1, ')': -1}.get(source[at], 0)
                at += 1
        elif expansion[0].startswith('${'):
            at = source.index('}', at - 1) + 1
        text += VARIES
    return text, at + 1
