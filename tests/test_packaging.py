"""What is shipped, what it needs, and who may import whom."""

import ast
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("envs", "sandbox", "agent")
# A module that needs a distribution beside the one it comes from.
NEEDS = {"torch.utils.tensorboard": "tensorboard"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def files_of(package: str) -> set[str]:
    """Every file of `package` but what Python caches, relative to the root."""
    files = (path.relative_to(ROOT) for path in (ROOT / package).rglob("*") if path.is_file())
    return {path.as_posix() for path in files if "__pycache__" not in path.parts}


def distribution_names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(requirement).name) for requirement in requirements}


def imported_distributions() -> set[str]:
    """The distributions that our code imports from, lazily or not."""
    modules: set[str] = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    modules.update(alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    modules.add(node.module)
    providers = packages_distributions()
    foreign = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {*PACKAGES}
    found = [name for module in foreign for name in providers.get(module, [module])]
    return {canonicalize_name(name) for name in found + [NEEDS[module] for module in modules & NEEDS.keys()]}


def test_what_the_code_imports_is_declared_and_nothing_else() -> None:
    needed = distribution_names(PROJECT["dependencies"])
    extras = [r for name, group in PROJECT["optional-dependencies"].items() if name != "dev" for r in group]
    imported = imported_distributions()
    assert imported - needed - distribution_names(extras) == set(), "imported, and not in pyproject.toml"
    assert needed - imported == set(), "in pyproject.toml, and not imported"


def test_every_requirement_is_constrained_to_one_version_that_any_index_has() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = (line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {canonicalize_name(name): version for name, version in pinned}
    extras = {name: group for name, group in PROJECT["optional-dependencies"].items() if name != "vllm"}  # has its own
    for requirements in [PROJECT["dependencies"], *extras.values()]:
        assert distribution_names(requirements) - pins.keys() == set()
    assert [version for version in pins.values() if "+" in version] == []


def test_the_wheel_holds_every_file_of_our_packages_and_no_other(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a copy: setuptools would reuse what an earlier build left in the tree
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert shipped == set().union(*(files_of(package) for package in PACKAGES))


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_import_rules_hold() -> None:
    run("from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))")


ENVIRONMENTS = sorted(
    name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for name in files_of("envs")
    if name.endswith(".py") and not name.endswith("__main__.py")
)


@pytest.mark.parametrize("modules", [ENVIRONMENTS, ["agent.types", "agent.seeds"]], ids=["envs", "plain data"])
def test_no_import_of_these_loads_torch_by_a_detour(modules: list[str]) -> None:
    loaded = run(f"import sys, {', '.join(modules)}; print({{'torch', 'transformers'}} & set(sys.modules))")
    assert loaded.strip() == "set()"
