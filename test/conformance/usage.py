"""What source code asks of a module that its surface (see surface.py) does not have: found by mypy, not by running it.

The code is seen as one API generation sees it: `hasattr(x, 'name')` becomes True or False, the branches not taken go,
and so do the private functions and classes that only they mention.
"""
import ast
import copy
import os
import re
import subprocess
import sys
from typing import NamedTuple

import numpy as np

from . import stub_file
from .install import INSTALLED, ROOT

_MESSAGE = re.compile(r'(?P<path>[^:]+):(?P<line>\d+):(?P<column>\d+): '
                      r'(?P<level>error|note): (?P<text>.*?)(?:  \[\S+\])?$')
_ANY = '_any'
_ASK = 'reveal_type'
_UNKNOWN = 'Revealed type is "Any"'
_ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)


class Fault(NamedTuple):
    """Code of a module that asks for what is not there."""

    module: str
    code: str
    problem: str


class Case:
    """Source files, and the surfaces of the foreign modules that they import.

    Args:
        sources: name of a module of trt_perception.engines -> its text.
        surfaces: name of a foreign module -> its surface.
    """

    def __init__(self, sources, surfaces):
        self.sources = sources
        self.surfaces = surfaces
        self.members = {}    # name -> what the classes of all surfaces have under it
        for surface in surfaces.values():
            for entry in surface.values():
                for member, value in entry.get('members', {}).items():
                    self.members.setdefault(member, []).append(value)
        # Names of what is neither of these modules: plain data, and the classes of the sources.
        self.own = set().union(*map(dir, (dict, list, str, np.ndarray)))
        for source in sources.values():
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    self.own.add(node.name)
                elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == 'self':
                    self.own.add(node.attr)


def faults(cases, folder, planted=False):
    """Return name of a case -> list of its Faults.

    Args:
        cases: name (an identifier) -> Case; all are checked in one run of mypy.
        folder: an empty one, for the files that mypy reads.
        planted: whether the cases are wrong on purpose, so that some noise does no harm.
    """
    texts = {}
    found = {}
    for name, case in cases.items():
        for package, knows in [(name, True)] + ([] if planted else [(name + _ANY, False)]):
            found[package] = []
            for module, surface in case.surfaces.items():
                _write(folder, [package] + module.split('.'), '.pyi',
                       stub_file.stub(surface) if knows else stub_file.ANYTHING)
            for module, source in case.sources.items():
                tree = as_seen(package, case, ast.parse(source))
                path = _write(folder, [package, module], '.py', _asking_types(tree))
                texts[path] = (package, module)
    messages = _mypy(folder, sorted(texts))
    for path, (package, module) in texts.items():
        with open(path, encoding='utf-8') as file:
            tree = ast.parse(file.read())
        untyped = set()
        for line, column, text in messages.get(path, ()):
            if text == _UNKNOWN:
                untyped.add((line, column))
            else:
                found[package].append(Fault(module, _code(_statement(tree, line)), text))
        if package in cases:
            found[package] += [Fault(module, *fault) for fault in _untyped_faults(tree, untyped, cases[package])]
    # What mypy finds without knowing the foreign modules is no matter of theirs, and `make types` finds it, too.
    return {name: [fault for fault in found[name] if fault not in found.get(name + _ANY, ())] for name in cases}


def _write(folder, parts, ending, text):
    path = os.path.join(folder, *parts) + ending
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return path


def _mypy(folder, paths):
    """Return path -> list of (line, column, text) of what mypy says."""
    environment = dict(os.environ, MYPYPATH=os.pathsep.join([folder, ROOT]))
    options = ['--config-file=', '--cache-dir=' + os.path.join(INSTALLED, 'mypy_cache'), '--ignore-missing-imports',
               '--namespace-packages', '--explicit-package-bases', '--follow-imports=silent', '--check-untyped-defs',
               '--no-strict-optional', '--show-column-numbers', '--no-error-summary', '--no-pretty']
    result = subprocess.run(
        [sys.executable, '-m', 'mypy'] + options + paths,
        env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert result.returncode in (0, 1), result.stdout[:2000]
    messages = {}
    for line in result.stdout.splitlines():
        message = _MESSAGE.match(os.path.join(folder, line))
        if message and (message.group('level') == 'error' or message.group('text') == _UNKNOWN):
            messages.setdefault(message.group('path'), []).append(
                (int(message.group('line')), int(message.group('column')), message.group('text')))
    return messages


def _statement(tree, line):
    """Return the innermost statement at a line."""
    return max((node for node in ast.walk(tree) if isinstance(node, ast.stmt)
                and node.lineno <= line <= node.end_lineno), key=lambda node: node.lineno)


class _Branches(ast.NodeTransformer):
    """Drops the branches whose conditions are True or False."""

    def generic_visit(self, node):
        super().generic_visit(node)
        for field in ('body', 'orelse'):
            statements = getattr(node, field, None)
            if isinstance(statements, list):
                last = next((number for number, each in enumerate(statements) if isinstance(each, _ENDS)), None)
                if last is not None:
                    del statements[last + 1:]
        return node

    def visit_UnaryOp(self, node):
        self.generic_visit(node)
        return ast.Constant(not node.operand.value) if isinstance(node.op, ast.Not) and _known(node.operand) else node

    def visit_BoolOp(self, node):
        self.generic_visit(node)
        neutral = isinstance(node.op, ast.And)
        values = [value for value in node.values if not (_known(value) and value.value is neutral)]
        for number, value in enumerate(values):
            if _known(value):
                del values[number + 1:]
                break
        if not values:
            return ast.Constant(neutral)
        return values[0] if len(values) == 1 else ast.BoolOp(node.op, values)

    def visit_IfExp(self, node):
        self.generic_visit(node)
        if not _known(node.test):
            return node
        return node.body if node.test.value else node.orelse

    def visit_If(self, node):
        self.generic_visit(node)
        if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And) and _known(node.test.values[-1]):
            node.test = node.test.values[-1]    # `x and False`: x may matter, what it leads to does not.
        if not _known(node.test):
            return node
        return (node.body if node.test.value else node.orelse) or ast.Pass()


class _Generation(_Branches):
    """Answers what a case has, and imports its modules."""

    def __init__(self, package, case):
        self._package = package
        self._case = case
        self._modules = {}    # name in the source -> foreign module

    def visit_Import(self, node):
        for alias in node.names:
            if alias.name in self._case.surfaces:
                alias.asname = alias.asname or alias.name
                self._modules[alias.asname] = alias.name
                alias.name = self._package + '.' + alias.name
        return node

    def visit_ImportFrom(self, node):
        if node.level == 1 and node.module is None:
            return [ast.ImportFrom(self._package if alias.name in self._case.sources
                                   else 'trt_perception.engines.tensorrt', [alias], 0) for alias in node.names]
        ours, foreign = node.level == 1 and node.module in self._case.sources, node.module in self._case.surfaces
        if ours or foreign and not node.level:
            node.module = self._package + '.' + node.module
        elif node.level:
            node.module = '.'.join(['trt_perception', 'engines', 'tensorrt'][:4 - node.level] + [node.module])
        node.level = 0
        return node

    def visit_Call(self, node):
        self.generic_visit(node)
        if not (isinstance(node.func, ast.Name) and node.func.id in ('hasattr', 'getattr')
                and isinstance(node.args[1], ast.Constant)):
            return node
        has = self._has(ast.unparse(node.args[0]).split('.'), node.args[1].value)
        if node.func.id == 'hasattr':
            return ast.Constant(has)
        return node.args[2] if len(node.args) > 2 and not has else ast.Attribute(
            node.args[0], node.args[1].value, ast.Load())

    def _has(self, path, name):
        if path[0] not in self._modules:    # An object, whose class is the one that has the name.
            return name in self._case.members
        members = self._case.surfaces[self._modules[path[0]]]
        for part in path[1:]:
            members = members.get(part, {}).get('members', {})
        return name in members


class _Answers(_Branches):
    """Replaces calls of functions that only ever return True or False."""

    def __init__(self, answers):
        self._answers = answers

    def visit_Call(self, node):
        self.generic_visit(node)
        return self._answers.get(node.func.id, node) if isinstance(node.func, ast.Name) else node


def _known(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def as_seen(package, case, tree):
    """Return a tree without what this case does not use."""
    everywhere = _mentioned(tree)
    answers = {}
    for each in [ast.parse(source) for source in case.sources.values()]:  # Modules import each other's functions.
        answers.update(_answers(_Generation(package, case).visit(each)))
    tree = _Answers(answers).visit(_Generation(package, case).visit(tree))
    while True:
        unused = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))
                  and re.match('_(?!_)', node.name)} & everywhere - _mentioned(tree)
        if not unused:
            return ast.fix_missing_locations(tree)
        for node in ast.walk(tree):
            body = getattr(node, 'body', None)
            if isinstance(body, list):
                body[:] = [each for each in body if getattr(each, 'name', None) not in unused] or [ast.Pass()]


def _answers(tree):
    """Return name -> node of what the functions answer that only ever return True, or only ever False."""
    return {node.name: node.body[-1].value for node in tree.body if isinstance(node, ast.FunctionDef)
            and isinstance(node.body[-1], ast.Return) and _known(node.body[-1].value)
            and all(isinstance(each, ast.Expr) for each in node.body[:-1])}


def _mentioned(tree):
    """Return all names in a tree, except those that a function or class only says itself."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.update(re.findall(r'\w+', node.value) if len(node.value) < 80 else ())    # quoted annotations
    return names


def _asking_types(tree):
    """Return the source of a tree, with all that an attribute is asked of wrapped into reveal_type()."""
    modules = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))
               for alias in node.names}
    never = set()    # types are no expressions, and a string must stay on its line
    for node in ast.walk(tree):
        for part in [getattr(node, 'annotation', None), getattr(node, 'returns', None), getattr(node, 'type', None)
                     ] + getattr(node, 'bases', []) + getattr(node, 'decorator_list', []) + getattr(node, 'values', []):
            if isinstance(part, ast.AST) and not isinstance(node, (ast.BoolOp, ast.Dict)):
                never.update(id(each) for each in ast.walk(part))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in never and not (
                isinstance(node.value, ast.Name) and node.value.id in modules | {'self', 'cls'}) and not (
                isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == 'super'):
            node.value = ast.Call(ast.Name(_ASK, ast.Load()), [node.value], [])
    # Each in a line of its own: mypy says the same thing only once per line.
    return ast.unparse(ast.fix_missing_locations(tree)).replace(_ASK + '(', _ASK + '(\n')


class _NoQuestions(ast.NodeTransformer):
    def visit_Call(self, node):
        self.generic_visit(node)
        return node.args[0] if ast.unparse(node.func) == _ASK else node


def _code(node):
    return ast.unparse(_NoQuestions().visit(copy.deepcopy(node))).splitlines()[0]


def _untyped_faults(tree, positions, case):
    """Return what is asked of objects of unknown type that no class at all has."""
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Attribute) and node.attr not in case.own and isinstance(node.value, ast.Call)
                and ast.unparse(node.value.func) == _ASK):
            continue
        asked = node.value.args[0]
        if (asked.lineno, asked.col_offset + 1) not in positions:
            continue
        entries = case.members.get(node.attr, [])
        code = _code(calls.get(id(node), node))
        if not entries:
            found.append((code, 'no class has ' + node.attr))
        elif id(node) in calls and not any(_accepts(entry, calls[id(node)]) for entry in entries):
            found.append((code, 'no {} takes these arguments'.format(node.attr)))
        elif isinstance(node.ctx, ast.Store) and not any(entry.get('writable') for entry in entries):
            found.append((code, 'no {} can be set'.format(node.attr)))
    return found


def _accepts(entry, call):
    """Return whether a member can be called with as many arguments, and with these keywords."""
    if entry['kind'] != 'function':
        return False
    if any(isinstance(argument, ast.Starred) for argument in call.args) or any(
            each.arg is None for each in call.keywords):
        return True
    return any(_takes(parameters, len(call.args), [each.arg for each in call.keywords])
               for parameters, _ in entry['signatures'])


def _takes(parameters, count, keywords):
    """Return whether a function with these parameters can be called with `count` values and some keywords."""
    by_position = [each for each in parameters if each[1] in ('position', 'any')]
    passed = {each[0] for each in by_position[:count]}
    names = {each[0] for each in parameters if each[1] in ('any', 'keyword')} - passed
    kinds = {each[1] for each in parameters}
    if count > len(by_position) and '*' not in kinds:
        return False
    if not set(keywords) <= names and '**' not in kinds:
        return False
    return all(each[0] in passed or each[0] in keywords for each in parameters if each[2])
