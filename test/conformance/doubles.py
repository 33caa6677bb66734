"""What a test double has that the real module has not: a test over it would then prove nothing."""

# Other special methods make a Python object behave as a compiled one does by itself: __bytes__, __index__, ...
_SPECIAL = {'__call__', '__enter__', '__exit__', '__getitem__', '__init__', '__len__'}


def faults(double, real, where=''):
    """Return the differences that matter, as texts, of two surfaces (see surface.py).

    The double may lack names, overloads and optional parameters, but must take no call that the real one would
    refuse. That code sets no attribute that can only be read, and makes no object that only TensorRT can make, is the
    matter of usage.py: a double has to do both.
    """
    found = []
    for name, entry in double.items():
        path = where + name
        if name.startswith('__') and name not in _SPECIAL:
            continue
        if name == '__init__' and name not in real:
            continue
        if name not in real:
            found.append('{}: the real module has no such name'.format(path))
        elif entry['kind'] != real[name]['kind'] and (entry['kind'], real[name]['kind']) != ('value', 'property'):
            found.append('{}: a {}, but really a {}'.format(path, entry['kind'], real[name]['kind']))
        elif entry['kind'] == 'class':
            found += faults(entry['members'], real[name]['members'], path + '.')
        elif entry['kind'] == 'function':
            if entry['static'] != real[name]['static']:
                found.append('{}: static here or there, not both'.format(path))
            for parameters, _ in entry['signatures']:
                if not any(_within(parameters, overload) for overload, _ in real[name]['signatures']):
                    found.append('{}: takes {}, but really {}'.format(path, _text(parameters), ' or '.join(
                        _text(overload) for overload, _ in real[name]['signatures'])))
    return found


def _within(parameters, real):
    """Return whether all calls that suit the parameters suit the real ones."""
    kinds = {each[1] for each in real}
    mine = [each for each in parameters if each[1] in ('position', 'any')]
    theirs = [each for each in real if each[1] in ('position', 'any')]
    if {each[1] for each in parameters} & {'*', '**'} - kinds or len(mine) > len(theirs) and '*' not in kinds:
        return False
    for (name, passed, required, _), (real_name, real_passed, really_required, _) in zip(mine, theirs):
        if really_required and not required or passed == real_passed == 'any' and name != real_name:
            return False
    required = {each[0] for each in parameters if each[1] == 'keyword' and each[2]}
    if any(each[2] and each[0] not in required for each in theirs[len(mine):]):
        return False
    keywords = {each[0] for each in real if each[1] == 'keyword' or each in theirs[len(mine):]}
    return '**' in kinds or {each[0] for each in parameters if each[1] == 'keyword'} <= keywords


def _text(parameters):
    return '({})'.format(', '.join(
        ('*' if passed == '*' else '**' if passed == '**' else '') + name
        + ('' if required or '*' in passed else '=...') for name, passed, required, _ in parameters))
