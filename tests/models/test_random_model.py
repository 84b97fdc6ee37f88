"""The parts of the generator of random models that need neither torch nor an exporter."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from models.random_model import make
from models.random_model.__main__ import main, parse
from models.random_model.cache import NEWER_VERSIONS, finish, is_finished, part_of, recipe_key
from models.random_model.export import ExportError
from models.random_model.families import FAMILIES
from models.random_model.formats import LAYOUTS, PLAIN, QUANTISATIONS
from models.random_model.shapes import SHAPES, Shape

jinja2 = pytest.importorskip("jinja2", reason="the chat templates are rendered")

ROOT = Path(make.__file__).parents[2]
TINY = SHAPES["tiny/qwen3"]
MODEL_ARGUMENTS = ["--shape", "tiny/qwen3", "--quant", "int8", "--out"]


def _name(shape: Shape) -> str:
    return shape.name


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Stands in for the exporter and tells what it was asked for; the checkpoint is an empty folder."""
    asked: list[tuple[str, str, str]] = []

    def export(shape: Shape, layout: str, checkpoint: Path, out_files: Mapping[str, Path]) -> None:
        for quant, out_file in out_files.items():
            asked.append((shape.name, quant, layout))
            out_file.write_bytes(b"model")

    monkeypatch.setattr(make, "export_in_fresh_process", export)
    monkeypatch.setattr(make, "make_checkpoint", lambda shape, out: out)
    return asked


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_shapes_are_possible(shape: Shape) -> None:
    """Heads divide, blocks of 32 fit, the vocabulary has room."""
    network = shape.network
    assert shape.family in FAMILIES
    assert network["num_attention_heads"] % network["num_key_value_heads"] == 0
    assert network["head_dim"] % 2 == 0
    assert network["hidden_size"] % 32 == 0
    assert network["intermediate_size"] % 32 == 0
    assert (
        len(network.get("layer_types", [None] * network["num_hidden_layers"])) == network["num_hidden_layers"]
    )
    assert max(shape.prefill) <= shape.context
    # Room for the special tokens, the bytes and some learnt pieces.
    assert shape.vocab >= len(FAMILIES[shape.family].vocabulary.all_special) + 512


@pytest.mark.parametrize("shape", [s for s in SHAPES.values() if "sliding_window" in s.network], ids=_name)
def test_windows_are_shorter_than_the_context(shape: Shape) -> None:
    """A window that never closes would test nothing."""
    assert shape.network["sliding_window"] <= shape.context // 4


@pytest.mark.parametrize(
    "shape", [s for s in SHAPES.values() if s.network.get("num_kv_shared_layers")], ids=_name
)
def test_every_shared_layer_has_one_of_its_kind_to_share_with(shape: Shape) -> None:
    """Transformers refuses anything else."""
    kinds = shape.network["layer_types"]
    own = kinds[: -shape.network["num_kv_shared_layers"]]
    assert set(own) == set(kinds)
    assert kinds[-1] == "full_attention"


def test_every_family_has_a_tiny_shape() -> None:
    """What can be built is also tested."""
    assert {s.family for s in SHAPES.values() if s.name.startswith("tiny/")} == set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_stop_tokens_are_special(name: str) -> None:
    """A stop token is never ordinary text."""
    vocabulary = FAMILIES[name].vocabulary
    assert set(vocabulary.stops) <= set(vocabulary.all_special)
    assert not set(vocabulary.plain) & set(vocabulary.all_special)


@pytest.mark.parametrize("name", FAMILIES)
def test_templates_print_each_text_once_and_a_longer_history_continues_a_shorter_one(name: str) -> None:
    """The engine sends only what is new."""
    family = FAMILIES[name]
    source = (ROOT / "models" / family.template).read_text()
    template = jinja2.Environment(autoescape=False).from_string(source)
    messages = [
        {"role": "system", "content": "SYSTEM"},
        {"role": "user", "content": [{"type": "text", "text": "ASKED"}]},
        {"role": "assistant", "content": "SAID"},
        {"role": "user", "content": "AGAIN"},
    ]

    def render(count: int, *, reply: bool) -> str:
        return template.render(
            messages=messages[:count], add_generation_prompt=reply, **dict(family.vocabulary.control)
        )

    whole = render(4, reply=True)
    assert [whole.count(text) for text in ("SYSTEM", "ASKED", "SAID", "AGAIN")] == [1, 1, 1, 1]
    assert whole.startswith(render(2, reply=True).rstrip())
    assert whole.startswith(render(3, reply=False).rstrip())


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.calls_tools])
def test_templates_of_families_with_tools_print_them(name: str) -> None:
    """Declarations, calls and results."""
    family = FAMILIES[name]
    template = jinja2.Environment(autoescape=False).from_string(
        (ROOT / "models" / family.template).read_text()
    )
    function = {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
    call = {"type": "function", "function": {"name": "clock", "arguments": {"zone": "UTC"}}}
    result = {"type": "tool_response", "name": "clock", "response": {"hour": "TWELVE"}}
    text = template.render(
        messages=[
            {"role": "user", "content": "ASKED"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": [result]},
        ],
        tools=[{"type": "function", "function": function}],
        add_generation_prompt=True,
        **dict(family.vocabulary.control),
    )
    assert "weather" in text
    assert "city" in text
    assert "TWELVE" in text
    assert "UTC" in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--shape", "qwen9", "--quant", "int8", "--out", "x"], "invalid choice: 'qwen9'"),
        (["--shape", "tiny/qwen3", "--quant", "int3", "--out", "x"], "invalid choice: 'int3'"),
        ([*MODEL_ARGUMENTS, "x", "--layout", "round"], "invalid choice: 'round'"),
        (["--shape", "tiny/qwen3", "--quant", "int8"], "--out"),
        (["--shape", "tiny/lfm2", "--quant", "int8", "--out", "x", "--gguf"], "no GGUF twin"),
    ],
)
def test_impossible_arguments_are_named(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says which argument it is."""
    with pytest.raises(SystemExit):
        parse(arguments)
    assert complaint in capsys.readouterr().err


def test_file_names_differ_by_everything_that_is_chosen() -> None:
    """Nothing is overwritten by another choice."""
    names = {
        make.file_name(s, q, layout) for s in SHAPES.values() for q in QUANTISATIONS for layout in LAYOUTS
    }
    assert len(names) == len(SHAPES) * len(QUANTISATIONS) * len(LAYOUTS)
    assert make.file_name(TINY, "int8", PLAIN) == "tiny/qwen3-int8.litertlm"


def test_the_key_changes_with_the_recipe_and_with_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal keys mean equal files."""
    key = recipe_key(TINY, "int8", PLAIN)
    assert key == recipe_key(dataclasses.replace(TINY), "int8", PLAIN)
    others = {
        recipe_key(TINY, "int4", PLAIN),
        recipe_key(TINY, "int8", "embedder"),
        recipe_key(dataclasses.replace(TINY, context=1024), "int8", PLAIN),
        recipe_key(dataclasses.replace(TINY, network={**TINY.network, "head_dim": 64}), "int8", PLAIN),
        recipe_key(SHAPES["tiny/llama"], "int8", PLAIN),
    }
    monkeypatch.setattr("models.random_model.cache.RECIPE_VERSION", -1)
    others.add(recipe_key(TINY, "int8", PLAIN))
    assert len(others) == 6
    assert key not in others


def test_newer_versions_are_of_shapes_and_families_that_there_are() -> None:
    """A misspelt one would leave an old file for good."""
    assert set(NEWER_VERSIONS) <= {*SHAPES, *FAMILIES}


def test_a_newer_version_of_a_shape_leaves_its_family_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its own file is made again."""
    family = [shape for shape in SHAPES.values() if shape.family == "gemma3"]
    before = [recipe_key(shape, "int4", PLAIN) for shape in family]
    monkeypatch.setitem(NEWER_VERSIONS, "gemma3-1b", -1)
    after = [recipe_key(shape, "int4", PLAIN) for shape in family]
    changed = [shape.name for shape, old, new in zip(family, before, after, strict=True) if old != new]
    assert changed == ["gemma3-1b"]


def test_what_is_there_is_not_made_again(tmp_path: Path, exports: list[tuple[str, str, str]]) -> None:
    """The second command does nothing."""
    assert main([*MODEL_ARGUMENTS, str(tmp_path)]) == 0
    assert main([*MODEL_ARGUMENTS, str(tmp_path)]) == 0
    assert exports == [("tiny/qwen3", "int8", PLAIN)]
    assert (tmp_path / "tiny/qwen3-int8.litertlm").read_bytes() == b"model"


def test_only_what_is_missing_is_made(tmp_path: Path, exports: list[tuple[str, str, str]]) -> None:
    """More quantisations in a second command."""
    main([*MODEL_ARGUMENTS, str(tmp_path)])
    main(["--shape", "tiny/qwen3", "--quant", "int4", "int8", "float", "--out", str(tmp_path)])
    assert [quant for _, quant, _ in exports] == ["int8", "int4", "float"]


def test_one_impossible_quantisation_does_not_lose_the_others(
    tmp_path: Path, exports: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the exporter left is finished, and only the rest is asked for again."""
    good = make.export_in_fresh_process

    def half(shape: Shape, layout: str, checkpoint: Path, out_files: Mapping[str, Path]) -> None:
        good(shape, layout, checkpoint, {"int4": out_files["int4"]})
        raise ExportError("int8: no")

    monkeypatch.setattr(make, "export_in_fresh_process", half)
    both = ["--shape", "tiny/qwen3", "--quant", "int8", "int4", "--out", str(tmp_path)]
    assert main(both) == 1
    monkeypatch.setattr(make, "export_in_fresh_process", good)
    assert main(both) == 0
    assert [quant for _, quant, _ in exports] == ["int4", "int8"]


def test_a_new_recipe_makes_the_file_again(
    tmp_path: Path, exports: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old file is not taken for a new one."""
    main([*MODEL_ARGUMENTS, str(tmp_path)])
    monkeypatch.setattr("models.random_model.cache.RECIPE_VERSION", -1)
    main([*MODEL_ARGUMENTS, str(tmp_path)])
    assert len(exports) == 2


def test_a_failed_export_leaves_the_old_file_and_says_why(
    tmp_path: Path,
    exports: list[tuple[str, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The status and the message tell."""
    main([*MODEL_ARGUMENTS, str(tmp_path)])

    def fail(*_: object) -> None:
        raise ExportError("no kernel for that")

    monkeypatch.setattr(make, "export_in_fresh_process", fail)
    monkeypatch.setattr("models.random_model.cache.RECIPE_VERSION", -1)
    assert main([*MODEL_ARGUMENTS, str(tmp_path)]) == 1
    assert "no kernel for that" in capsys.readouterr().err
    assert (tmp_path / "tiny/qwen3-int8.litertlm").read_bytes() == b"model"


def test_what_an_interruption_leaves_is_not_taken_for_finished(tmp_path: Path) -> None:
    """Half-made outputs and half-written notes."""
    path = tmp_path / "folder"
    part_of(path).mkdir()
    assert not is_finished(path, "key")
    part = part_of(path)  # the half-made one is gone
    part.mkdir()
    finish(part, path, "key", size=1)
    assert is_finished(path, "key")
    assert not is_finished(path, "other")
    path.with_name("folder.json").write_text('{"ke')  # what a crash of the machine may leave
    assert not is_finished(path, "key")


def test_a_finished_model_is_found_without_the_heavy_packages(tmp_path: Path) -> None:
    """A cached model needs no torch."""
    model = tmp_path / make.file_name(TINY, "int8", PLAIN)
    model.parent.mkdir()
    part = part_of(model)
    part.write_bytes(b"model")
    finish(part, model, recipe_key(TINY, "int8", PLAIN))
    blocked = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'transformers', 'gguf', 'litert_torch']));"
    )
    program = f"{blocked} from models.random_model.__main__ import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, *MODEL_ARGUMENTS, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "up to date" in done.stdout
