"""Exported files in a network's place: what is no such file is said in one line; folders are whole or not there."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from utils.exported import exported_network, fingerprint, is_exported, same_sooner
from utils.exporting import folder_written_whole
from utils.settings import UserError


def a_saved_model(folder: Path, content: str = "no model") -> Path:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(content)
    (folder / "variables" / "data").write_text("1")
    return folder


def test_exported_is_what_is_there_and_has_the_name(tmp_path):
    for name in ("a.onnx", "a.tflite", "a.keras", "plain"):
        (tmp_path / name).write_text("")
    assert [is_exported(tmp_path / name) for name in ("a.onnx", "a.tflite", "a.keras", "plain")] == [True, True, 0, 0]
    assert not is_exported(tmp_path / "gone.onnx")
    assert not is_exported(tmp_path)
    assert is_exported(a_saved_model(tmp_path / "m.v2_saved_model"))


def test_a_fingerprint_is_of_all_names_and_bytes(tmp_path):
    folders = [a_saved_model(tmp_path / name) for name in "abc"]
    (folders[1] / "variables" / "data").write_text("2")
    (folders[2] / "variables" / "data").rename(folders[2] / "variables" / "other")
    assert len({fingerprint(folder) for folder in folders}) == 3
    assert fingerprint(folders[0]) == fingerprint(a_saved_model(tmp_path / "d"))


@pytest.fixture
def twins(tmp_path: Path) -> Path:
    """m.keras, and m.onnx that gives the same."""
    (tmp_path / "m.keras").write_text("weights")
    (tmp_path / "m.onnx").write_text("the same")
    made = {"from_sha256": fingerprint(tmp_path / "m.keras"), "largest_difference": 0.0}
    (tmp_path / "m.onnx.json").write_text(json.dumps({"sha256": fingerprint(tmp_path / "m.onnx"), "exported": made}))
    return tmp_path / "m.keras"


def test_where_there_is_no_keras_a_gpu_is_no_reason_for_it(twins, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr("utils.exported.may_have_gpu", lambda: True)
    assert same_sooner(twins, fingerprint(twins)) is None
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "keras" else find_spec(name))
    assert same_sooner(twins, fingerprint(twins)) == twins.with_suffix(".onnx")


@pytest.mark.parametrize("text", ["{", "[]", '{"exported": null}'])
def test_a_damaged_card_of_the_twin_does_not_stop_the_weights(twins, text, monkeypatch):
    monkeypatch.setattr("utils.exported.may_have_gpu", lambda: False)
    twins.with_name("m.onnx.json").write_text(text)
    assert same_sooner(twins, fingerprint(twins)) is None


@pytest.mark.parametrize(
    ("name", "package", "hint"),
    [
        ("m.onnx", "onnxruntime", "pip install onnxruntime"),
        ("m.tflite", "ai_edge_litert.interpreter", "pip install ai-edge-litert"),
        ("m_saved_model", "tensorflow", "pip install tensorflow"),
    ],
)
def test_a_missing_runtime_is_named(name, package, hint, tmp_path, monkeypatch):
    path = a_saved_model(tmp_path / name) if "saved" in name else tmp_path / name
    if path.suffix:
        path.write_bytes(b"no network")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=hint) as raised:
        exported_network(path, {})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"no network", b""])
def test_what_is_no_tflite_file_is_said(content, tmp_path, capfd):
    pytest.importorskip("ai_edge_litert")
    (tmp_path / "m.tflite").write_bytes(content)
    with pytest.raises(UserError, match="is not a TFLite file that can be run"):
        exported_network(tmp_path / "m.tflite", {})
    assert capfd.readouterr().err == ""


def test_a_folder_takes_the_place_of_the_old_one(tmp_path):
    target = a_saved_model(tmp_path / "m", "old")
    with folder_written_whole(target) as temporary:
        a_saved_model(temporary, "new")
        assert (target / "saved_model.pb").read_text() == "old"
    assert (target / "saved_model.pb").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("when", ["while written", "at the end"])
def test_a_folder_that_fails_leaves_the_old_one(when, tmp_path, monkeypatch):
    target = a_saved_model(tmp_path / "m", "old")
    rename = Path.rename

    def failing(path, other):
        if Path(other) == target and path.name.endswith("new"):
            raise OSError(28, "No space left on device")
        return rename(path, other)

    monkeypatch.setattr(Path, "rename", failing)

    def write():
        with folder_written_whole(target) as temporary:
            a_saved_model(temporary, "new")
            if when == "while written":
                raise UserError("refused")

    with pytest.raises(UserError, match="refused" if when == "while written" else "No space left"):
        write()
    assert (target / "saved_model.pb").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
