"""A plugin of pytest: of each test, run its first case alone."""


def pytest_collection_modifyitems(items):
    first = {}
    for item in items:
        first.setdefault((item.fspath, getattr(item, 'originalname', item.name)), item)
    items[:] = first.values()
