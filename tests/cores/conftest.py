"""Laws run core by core, so that the programs of one core alone are in memory at a time."""

from pathlib import Path

LAWS = Path(__file__).with_name("test_laws.py")


def pytest_collection_modifyitems(items):
    places = [place for place, item in enumerate(items) if item.path == LAWS]
    laws = sorted((items[place] for place in places), key=lambda item: item.callspec.params["name"])
    for place, item in zip(places, laws, strict=True):
        items[place] = item
