"""What `.ci/gpu` does about packages: fill a folder of wheels, and install rnnlm out of it.

The machine with the GPU has a Python with torch, perhaps in a virtual environment, and no
internet. Nothing of its own is changed: rnnlm goes into a virtual environment in build/, which
also sees the packages of the Python that runs `.ci/gpu`.
"""

import contextlib
import email.parser
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"

# Run by the Python in question: which rnnlm it finds, and what rnnlm needs and does not find.
INVENTORY = """
import importlib.metadata, json, sys
missing = []
for name in json.loads(sys.argv[1]):
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        missing.append(name)
try:
    import hypothesis, pytest, rnnlm.cli.main
    place, why = rnnlm.__file__, ""
except ImportError as error:
    place, why = None, str(error)
print(json.dumps({"missing": missing, "rnnlm": place, "why": why}))
"""


class Failure(Exception):
    """What is shown as one line: what went wrong, why, and the way out."""

    def __init__(self, what, why="", hint=""):
        parts = [what, why and f": {why}", hint and f"; {hint}"]
        super().__init__("".join(parts))


def fill(options):
    """Download everything but torch for the machine with the GPU."""
    wanted = [*requirements(), "pip", "setuptools>=77", "wheel"]
    constraints = pinned(without=("torch",))
    left_out = {normalised(name) for name in options.without}

    with tempfile.TemporaryDirectory() as folder:
        # pip reads conditions such as python_version < "3.13" for the Python that runs it.
        # So look what the target's Python needs beyond that, until nothing is missing.
        missing = wanted
        while missing:
            say(f"downloading {len(missing)} packages and what they need")
            download(missing, constraints, Path(folder), options)
            missing = unmet(wanted, Path(folder), options)

        # A folder that was filled before is emptied, as two versions of a package would clash.
        options.wheels.mkdir(parents=True, exist_ok=True)
        for old in options.wheels.glob("*.whl"):
            old.unlink()
        kept = [
            wheel for wheel in sorted(Path(folder).glob("*.whl")) if name_of(wheel) not in left_out
        ]
        for wheel in kept:
            shutil.move(wheel, options.wheels / wheel.name)

    about = {"python": options.python, "machine": options.machine, "without": sorted(left_out)}
    write_atomically(options.wheels / "wheels.json", json.dumps(about) + "\n")
    megabytes = sum((options.wheels / wheel.name).stat().st_size for wheel in kept) / 1e6
    held = f"{len(kept)} wheels for Python {options.python}, {megabytes:.0f} MB"
    say(f"{shown(options.wheels)}: {held}")
    if left_out:
        say(f"left out; the target machine must provide: torch, {', '.join(sorted(left_out))}")
    return 0


def requirements(with_tests=True):
    """Return what rnnlm needs by setup.cfg, without torch."""
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    needed = settings["options"]["install_requires"].split("\n")
    if with_tests:
        needed += settings["options.extras_require"]["test"].split("\n")
    return [line for line in needed if line and name_in(line) != "torch"]


def pinned(without):
    """Return the lines of constraints.txt, but for some packages."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "==" in line and name_in(line) not in without]


def download(wanted, constraints, folder, options):
    """Let pip put wheels for the target machine into a folder."""
    # pip matches platforms exactly: name every C library that the target's can stand in for.
    newest = int(options.glibc.partition(".")[2])
    platforms = [f"manylinux_2_{minor}_{options.machine}" for minor in range(newest, 4, -1)]
    platforms += [f"manylinux2014_{options.machine}", f"manylinux1_{options.machine}"]
    target = [word for platform in platforms for word in ("--platform", platform)]
    target += ["--python-version", options.python, "--only-binary=:all:"]

    listed = folder / "constraints.txt"
    listed.write_text("\n".join(constraints), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    called = [*pip, *target, "-c", str(listed), "-d", str(folder), *wanted]
    ended = subprocess.run(called, stderr=subprocess.PIPE, text=True)
    if ended.returncode:
        raise Failure(
            "pip could not download",
            last_line(ended.stderr),
            "check that pip works here, then retry",
        )


def unmet(wanted, folder, options):
    """Return requirements of the target's Python that no wheel in the folder answers."""
    try:
        from packaging.requirements import Requirement
    except ImportError:  # a Python without pytest; pip, which downloads, has a copy
        from pip._vendor.packaging.requirements import Requirement

    target = {
        "python_version": options.python,
        "python_full_version": f"{options.python}.0",
        "platform_machine": options.machine,
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
    }
    wheels = {name_of(wheel): wheel for wheel in folder.glob("*.whl")}
    pending = [Requirement(line) for line in wanted]
    seen, missing = set(), []
    while pending:
        requirement = pending.pop()
        name = normalised(requirement.name)
        known = (name, frozenset(requirement.extras))
        if known in seen or name == "torch":
            continue
        seen.add(known)
        if name not in wheels:
            missing.append(str(requirement).partition(";")[0])
            continue

        # Follow what the wheel needs by itself, and for the extras that are asked for.
        for line in needs_of(wheels[name]):
            needed = Requirement(line)
            extras = ["", *requirement.extras]
            marker = needed.marker
            if marker is None or any(
                marker.evaluate(target | {"extra": extra}) for extra in extras
            ):
                pending.append(needed)
    return missing


def needs_of(wheel):
    """Return the requirements that a wheel declares."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [
            name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)
        ]
        head = email.parser.Parser().parsestr(archive.read(metadata).decode())
    return head.get_all("Requires-Dist", [])


def name_of(wheel):
    return normalised(wheel.name.partition("-")[0])


def name_in(requirement):
    return normalised(re.match(r"[\w.-]+", requirement.strip()).group())


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def prepared_python(options):
    """Return a Python that has rnnlm of this checkout and its tests, and make one if need be."""
    found = inventory(sys.executable)
    if not why_unfit(found) and not found["missing"]:
        return sys.executable

    # One that was made before will do, unless it is of another Python or of other wheels.
    python = BUILD / "gpu-venv" / "bin" / "python"
    wheels = sorted(options.wheels.glob("*.whl")) if options.wheels else []
    parts = [sys.executable, sys.version, *package_folders(), *(wheel.name for wheel in wheels)]
    made_of = "".join(f"{part}\n" for part in parts)
    noted = BUILD / "gpu-venv" / "made_of.txt"
    is_current = noted.exists() and noted.read_text(encoding="utf-8") == made_of
    if is_current and not why_unfit(inventory(python)):
        return str(python)

    say(f"installing rnnlm into {shown(python.parents[1])}")
    if options.wheels:
        check_wheels(options.wheels)
    make_venv(python.parents[1])
    install(str(python), options.wheels)
    found = inventory(python)
    why = why_unfit(found)
    if why:
        hint = "rerun .ci/gpu fill without leaving these out"
        raise Failure("rnnlm is installed but does not run", why, hint)
    noted.write_text(made_of, encoding="utf-8")

    # Wheels may have been left out to save room. Much of rnnlm does without some of them.
    if found["missing"]:
        say(f"not on this machine, so what needs them fails: {', '.join(found['missing'])}")
    return str(python)


def why_unfit(found):
    """Say why a Python with such an inventory cannot run this rnnlm and its tests; "" if it can."""
    if found["rnnlm"] is None:
        return found["why"]
    if Path(found["rnnlm"]).resolve() != ROOT / "rnnlm" / "__init__.py":
        return f"it finds the rnnlm of {found['rnnlm']}"
    return ""


def inventory(python):
    """Ask a Python for its rnnlm and for the packages that it lacks."""
    needed = [name_in(line) for line in requirements(with_tests=False)]
    called = [str(python), "-P", "-c", INVENTORY, json.dumps(needed)]
    try:
        ended = subprocess.run(called, cwd=ROOT, capture_output=True, text=True)
    except OSError as error:  # an environment that was carried here from another machine
        return {"missing": [], "rnnlm": None, "why": str(error)}
    if ended.returncode:
        why = last_line(ended.stderr) or f"Python ended with status {ended.returncode}"
        return {"missing": [], "rnnlm": None, "why": why}
    return json.loads(ended.stdout.splitlines()[-1])


def check_wheels(wheels):
    """Refuse a folder of wheels that is not one, or is for another Python."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    hint = f"run .ci/gpu fill --python {here} where there is internet"
    if not list(wheels.glob("*.whl")):
        raise Failure(f"{shown(wheels)} holds no wheels", hint=hint)
    about = wheels / "wheels.json"
    made_for = json.loads(about.read_text(encoding="utf-8"))["python"] if about.exists() else here
    if made_for != here:
        raise Failure(
            f"the wheels in {shown(wheels)} are for Python {made_for}", f"this is {here}", hint
        )


def make_venv(folder):
    """Make a virtual environment that also sees the packages of the Python that runs this.

    That one may itself be a virtual environment, which --system-site-packages would pass over.
    """
    called = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)]
    ended = subprocess.run(called, capture_output=True, text=True)
    if ended.returncode:
        why = last_line(ended.stderr or ended.stdout)
        raise Failure(
            "this Python cannot create a virtual environment",
            why,
            "install its venv module (python3-venv)",
        )
    (site,) = folder.glob("lib/python3*/site-packages")
    (site / "packages_of_the_machine.pth").write_text(
        "\n".join(package_folders()) + "\n", encoding="utf-8"
    )


def package_folders(path=None):
    """Return the folders of packages among those in which Python looks for modules."""
    path = sys.path if path is None else path
    return [each for each in path if Path(each).name in ("site-packages", "dist-packages")]


def install(python, wheels):
    """Install rnnlm and what it needs: from the wheels alone, or as pip finds it."""
    pip = pip_for(python, wheels)
    environment = {
        **os.environ,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    if wheels is None:
        run_pip([*pip, "install", "--quiet", "-e", f"{ROOT}[test]"], environment)
        return

    # The wheels are all that is wanted: no setting of the machine's pip may add or forbid any.
    environment = {
        name: value for name, value in environment.items() if not name.startswith("PIP_")
    }
    environment |= {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    alone = [*pip, "install", "--quiet", "--no-index", "--no-deps"]
    run_pip([*alone, *map(str, sorted(wheels.glob("*.whl")))], environment)
    run_pip([*alone, "--no-build-isolation", "-e", str(ROOT)], environment)


def run_pip(called, environment):
    ended = subprocess.run(called, env=environment, cwd=ROOT, capture_output=True, text=True)
    if ended.returncode:
        errors = [line for line in ended.stderr.splitlines() if "ERROR" in line]
        why = errors[0] if errors else last_line(ended.stderr)
        raise Failure(
            "pip could not install",
            why,
            "run .ci/gpu fill where there is internet, and carry build/wheels here",
        )


def pip_for(python, wheels):
    """Return how pip is called for a Python: out of its wheel, or that of the machine."""
    carried = sorted(wheels.glob("pip-*.whl")) if wheels is not None else []
    if carried:
        return [python, f"{carried[0]}/pip"]
    if runs([sys.executable, "-m", "pip", "--version"]):
        return [sys.executable, "-m", "pip", "--python", python]
    if runs([python, "-m", "ensurepip"]):
        return [python, "-m", "pip"]
    raise Failure(
        "this Python has no pip", hint="carry a folder of wheels here, which has one (.ci/gpu fill)"
    )


def write_atomically(path, text):
    """Replace a file in one piece, so that a cut never leaves half of it."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def shown(path):
    """Name a path as short as possible: relative to the checkout where it lies within."""
    with contextlib.suppress(ValueError):
        return str(Path(path).relative_to(ROOT))
    return str(path)


def runs(called):
    return subprocess.run(called, capture_output=True).returncode == 0


def last_line(printed):
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    return lines[-1] if lines else ""
