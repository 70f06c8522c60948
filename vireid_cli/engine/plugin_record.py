"""The plugin of a run's method: its record in ``environment.json``, and comparisons with the present one."""

from __future__ import annotations

from vireid_cli import methods
from vireid_cli.errors import DataError, UsageError
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder, changed_recipe_warning


def plugin_mark(method: str) -> dict[str, dict[str, str]]:
    """Return the entry ``plugin`` of ``environment.json``; empty for a method of the package.

    Raises:
        UsageError: The source can't be read.
    """
    plugin = methods.external().get(method)
    return {} if plugin is None else {"plugin": plugin.record()}


def source_warnings(run: RunFolder) -> list[str]:
    """Warnings about a recipe or a plugin that changed after the run began.

    Raises:
        DataError: ``environment.json`` or the recipe can't be read.
        UsageError: The plugin's source can't be read.
    """
    return [text for text in (changed_recipe_warning(run), changed_plugin_warning(run)) if text]


def changed_plugin_warning(run: RunFolder) -> str:
    """Warning that a plugin's source differs from that of the run's start; empty if it is unchanged.

    Raises:
        DataError: ``environment.json`` can't be read.
        UsageError: The source can't be read.
    """
    recorded = run.environment().get("plugin")
    plugin = methods.external().get(recorded["method"]) if recorded else None
    if recorded is None or plugin is None or plugin.sha256() == recorded["sha256"]:
        return ""
    return (
        f"the source of the method {plugin.method} ({plugin.origin}) differs from that of the training: its "
        f"hash is {plugin.sha256()[:12]}, in {run.folder / schema.ENVIRONMENT} {recorded['sha256'][:12]}. "
        "The results follow the present source"
    )


def require_plugin(run: RunFolder) -> None:
    """Raise an error if the method of a run is a plugin that is not loaded; otherwise do nothing.

    Raises:
        UsageError: The plugin is not available; the hint names its recorded path or package.
    """
    try:
        recorded = run.environment().get("plugin")
    except DataError:  # the caller has an error of its own, which comes first
        return
    if recorded is None or recorded["method"] in methods.available():
        return
    if package := recorded.get("package"):
        hint = f"Install the package {package}."
    else:
        hint = f"Add --plugin {recorded['path']} if you trust this code, or set VIREID_PLUGINS."
    raise UsageError(f"{run.folder}: the method {recorded['method']} is a plugin that is not loaded.", hint)
