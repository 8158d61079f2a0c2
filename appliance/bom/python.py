"""Python packages that the product runs with, from what their installation left behind."""

from importlib import metadata

from appliance.bom.component import Component

_CLASSIFIER = "License :: "


def installed() -> list[Component]:
    """Every package of this Python environment, the product itself included."""
    found: dict[str, Component] = {}
    for package in metadata.distributions():
        told = package.metadata
        name = told["Name"].lower().replace("_", "-")
        found.setdefault(
            name, Component(ecosystem="pypi", name=name, version=package.version, licences=_licences(told))
        )
    return list(found.values())


def _licences(told: metadata.PackageMetadata) -> tuple[str, ...]:
    """The expression (PEP 639), else the classifiers, else one line of free text."""
    fields = told.json
    if expression := fields.get("license_expression"):
        return (str(expression),)
    classifiers = [str(each) for each in fields.get("classifier", ())]
    if named := {each.rpartition(" :: ")[2] for each in classifiers if each.startswith(_CLASSIFIER)}:
        return tuple(sorted(named))
    text = str(fields.get("license", ""))
    return (text,) if text and "\n" not in text else ()
