"""Every command, link, path and field that the documentation names is there."""

import ast
import functools
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.main import main as launch
from trainer.config import Config
from trainer.config_fields import is_field
from trainer.sweep.trials import trials

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
TOOLS = {"docker", "gcloud", "kubectl", "source", ".", "tensorboard"}
"""Programs of others, whose arguments are not checked, ..."""
FLAGS_OF_TOOLS = {"target"}
"""... and what the text says of them."""
SECTIONS = "data|model|loss|optimizer|train|evaluation"
"""Of the config, as a pattern."""


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def fences(page: Path, language: str) -> list[str]:
    """The blocks of code of a page, without their indentation."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^ *```$", text_of(page), re.M | re.S)
    return [
        re.sub(rf"^{indent}", "", block, flags=re.M)
        for indent, marked, block in found
        if marked == language
    ]


def inline_code(page: Path) -> list[str]:
    prose = re.sub(r"^ *```.*?^ *```$", "", text_of(page), flags=re.M | re.S)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]


def words_of(line: str) -> list[str]:
    """The words of a line of shell up to a pipe or the like, placeholders left out."""
    words = shlex.split(line, comments=True)
    ends = [words.index(mark) for mark in (">", "&", "|") if mark in words]
    return [word for word in words[: min(ends, default=len(words))] if word != "[flags]"]


def commands_of(page: Path) -> Iterator[list[str]]:
    """The commands of a page; `...` stands for the flags of the one before."""
    last: list[str] = []
    for block in fences(page, "sh"):
        for line in re.sub(r"\\\n", " ", block).splitlines():
            words = words_of(line)
            if words[-1:] == ["..."]:
                words = [*words[:-1], *last[4:]]
            if words and "=" not in words[0]:
                yield words
            last = words or last
    for code in inline_code(page):
        if re.match(r"(python -m|make|pip install|dcgan-) ?\S", code):
            yield [word for word in words_of(code) if word != "..."]


def commands_in_source(path: Path) -> Iterator[list[str]]:
    """The `python -m` lines of a file's texts, which end at a double space or the line's end."""
    tree = ast.parse(text_of(path))
    parts = {
        part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            lines = re.sub(r"\s*\\\n\s*", " ", node.value)
            for line in re.findall(r"python -m \w+\.\S.*?(?=  |`|$)", lines, re.M):
                yield words_of(line)


@functools.cache
def commands() -> list[tuple[str, list[str]]]:
    """Every command and where it stands."""
    found = [(page.name, words) for page in PAGES for words in commands_of(page)]
    sources = [
        path
        for folder in ("configs", "trainer", "launch", "bench", "tests")
        for path in sorted(ROOT.glob(f"{folder}/**/*.py"))
        if folder == "configs" or "__main__" in text_of(path) or path.name == "help.py"
    ]
    found += [(path.name, words) for path in sources for words in commands_in_source(path)]
    return found


def modules_called() -> dict[tuple[str, ...], str]:
    """Each `python -m` from the module on, and what jobs hand on to the trainer; and its page."""
    called = {}
    for place, words in commands():
        own, trainer = words, []
        if "--" in words:
            own, trainer = words[: words.index("--")], words[words.index("--") + 1 :]
            config = [word for word in own if word.startswith("--config=")]
            called[("trainer.main", *config, *trainer)] = place
        if own[:2] == ["python", "-m"]:
            called[tuple(own[2:])] = place
    return called


def test_every_command_is_of_a_program_that_is_known() -> None:
    assert len(commands()) > 100
    assert {"README.md", "deploying.md", "mnist.py"} <= {place for place, _ in commands()}
    ours = {"python", "make", "pip", "dcgan-trainer", "dcgan-launch"}
    for place, words in commands():
        assert words[0] in ours | TOOLS, f"{place}: {words}"
    for page in PAGES:
        for block in fences(page, ""):
            assert "python -m" not in block, f"{page.name}: mark this block as sh: {block}"


def test_modules_are_there() -> None:
    for words, place in modules_called().items():
        assert importlib.util.find_spec(words[0]), f"{place}: {words}"


def test_programs_take_the_flags_that_they_are_shown_with() -> None:
    called = {
        words: place
        for words, place in modules_called().items()
        if words[0] != "pytest" and any(word.startswith("-") for word in words)
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.parse_only"],
        input=json.dumps(list(called)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
    )
    wrong = [
        f"{place}: {shlex.join(words)}: {complaint}"
        for (words, place), complaint in zip(called.items(), json.loads(done.stdout), strict=True)
        if complaint
    ]
    assert not wrong, "\n".join(wrong)


def test_jobs_can_be_rendered(capsys: pytest.CaptureFixture[str]) -> None:
    for place, words in commands():
        if words[2:4] == ["launch.main", "render"] and "..." not in words:
            assert launch(words[3:]) == 0, f"{place}: {words}"
            assert "trainer.main" in capsys.readouterr().out


def test_make_targets_extras_and_scripts_are_there() -> None:
    targets = set(re.findall(r"^(\w[\w-]*):", text_of(ROOT / "Makefile"), re.M))
    setup = text_of(ROOT / "setup.py")
    for place, words in commands():
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, f"{place}: {words}"
        elif words[:2] == ["pip", "install"]:
            assert words[2:3] == ["-e"], f"{place}: from a clone, not from an index: {words}"
            extra = re.fullmatch(r"\.\[(\w+)\]", words[3])
            assert extra and f'"{extra[1]}": ' in setup, f"{place}: {words}"
        elif words[0].startswith("dcgan-"):
            assert f'"{words[0]}' in setup, f"{place}: {words}"


def test_sweeps_are_of_fields_and_values_that_there_are() -> None:
    for words, place in modules_called().items():
        axes = [word.removeprefix("--sweep=") for word in words if word.startswith("--sweep=")]
        assert not axes or len(trials(Config(), axes, "runs")) > 1, place


def slug(heading: str) -> str:
    """The anchor that a heading gets where Markdown is shown."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = page.parent / path if path else page
        assert target.exists(), link
        headings = re.findall(r"^#+ (.*)$", text_of(target), re.M) if anchor else []
        assert not anchor or anchor in map(slug, headings), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_flags_and_fields_in_the_text_are_there(page: Path) -> None:
    files = [
        f"/{path.relative_to(ROOT).as_posix()}"
        for folder in ("trainer", "launch", "bench", "configs", "tests", "docs")
        for path in (ROOT / folder).rglob("*")
    ] + [f"/{path.name}" for path in ROOT.iterdir()]
    known_flags = flags_in_sources()
    for code in inline_code(page):
        if re.fullmatch(r"(?!runs/|sweep\.md)[\w/.-]+\.(py|md|sh|toml)", code):
            assert any(path.endswith(f"/{code}") for path in files), code
        if flag := re.match(r"--(no)?(\w+)", code):
            assert flag[0].removeprefix("--") in known_flags | FLAGS_OF_TOOLS, code
        for name in re.findall(rf"(?:^|--config\.)((?:{SECTIONS})\.[\w.]+)", code):
            if not name.endswith((".py", ".png", ".json", ".jsonl")):
                assert is_field(Config(), name), code


def flags_in_sources() -> set[str]:
    """The flags that any of our programs has."""
    sources = "".join(
        text_of(path)
        for name in ("trainer", "launch", "bench", "tests")
        for path in (ROOT / name).rglob("*.py")
    )
    defined = r"DEFINE_\w+\(|DEFINE\(\s*\w+\(\),|add_argument\(|_add\(\s*\w+,"
    found = re.findall(rf'(?:{defined})\s*"(?:--)?(\w+)"', sources)
    return {*found, "help", "helpfull", "config", "version"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_compiles(page: Path) -> None:
    for block in fences(page, "python"):
        compile(block, page.name, "exec")


def test_the_readme_can_be_read_top_to_bottom() -> None:
    text = text_of(ROOT / "README.md")
    assert len(text.splitlines()) <= 200 and len(text.split()) <= 1500
