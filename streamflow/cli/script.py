"""``app.py[:app]``: import a script and find the App in it.

The script is imported under the name it would have for Python: its folder comes first on the path, and if that
folder is a package, the package's own folder does, so that relative imports work. A record type's module name is
therefore the same whoever imports the script.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from streamflow.errors import ConfigError, StreamflowError, TopologyError
from streamflow.run import Loading

if TYPE_CHECKING:
    from streamflow.app import App


def load(spec: str) -> App:
    """The App of ``app.py`` or ``app.py:name``. Raises `ConfigError` that says what is wrong with it."""
    path, name = split(spec)
    if not path.is_file():
        raise ConfigError(_not_there(path))
    with Loading():
        module = _imported(path)
    return _the_app(module, path.name, name)


def split(spec: str) -> tuple[Path, str | None]:
    """File and name apart.

    >>> split("a/b.py:orders")[1], split("b.py")[1]
    ('orders', None)
    """
    path, colon, name = spec.rpartition(":")
    if colon and name.isidentifier() and not Path(spec).exists():
        return Path(path), name
    return Path(spec), None


def _not_there(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a folder; name the script in it"
    if path.suffix != ".py" and path.with_name(path.name + ".py").is_file():
        return f"there is no file {path}; did you mean {path}.py?"
    others = sorted(other.name for other in path.parent.glob("*.py"))[:5] if path.parent.is_dir() else []
    return f"there is no file {path}" + (f"; beside it are {', '.join(others)}" if others else "")


def _imported(path: Path) -> ModuleType:
    path = path.resolve()
    names, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    sys.path.insert(0, str(folder))
    name = ".".join(names)
    try:
        if len(names) > 1:
            importlib.import_module(".".join(names[:-1]))
        if name in sys.modules or name in sys.stdlib_module_names:
            name = f"{name}_script"  # a script called random.py must not take the library's place
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ConfigError(f"{error.filename}:{error.lineno}: {error.msg}: {(error.text or '').strip()}") from error
    except StreamflowError as error:
        raise TopologyError(f"{error}{_where(error, path)}") from error
    except Exception as error:
        raise ConfigError(f"{type(error).__name__}: {error}{_where(error, path)}") from error
    return module


def _where(error: Exception, path: Path) -> str:
    """Where in the script it happened, unless the error says so itself."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    said = f"{path.name}:" in str(error)
    return f" ({path.name}:{lines[-1]})" if lines and not said else ""


def _the_app(module: ModuleType, file: str, name: str | None) -> App:
    from streamflow.app import App

    apps = {key: value for key, value in vars(module).items() if isinstance(value, App)}
    if name is not None:
        if name in apps:
            return apps[name]
        known = f"; its Apps are {', '.join(apps)}" if apps else ""
        raise ConfigError(f"{file} has no App named {name!r}{known}")
    if not apps:
        raise ConfigError(f'{file} has no App; it needs a line such as app = App("my-app")')
    if len({id(app) for app in apps.values()}) > 1:
        raise ConfigError(f"{file} has the Apps {', '.join(apps)}; say which one: {file}:{next(iter(apps))}")
    known, app = next(iter(apps.items()))
    if not app.topology.steps:
        raise TopologyError(f"{file}: the App {known!r} has no steps; begin with app.stream(...) or app.table(...)")
    return app
