"""Files of --admission-control-config-file, and which plugins the flags switch on."""

from __future__ import annotations

from pathlib import Path

import pytest

from kapi.admission import chain, order
from kapi.admission.configuration import ConfigurationError, check, read
from kapi.options.table import Options

HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n"


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_inline_and_in_a_file_of_its_own_beside_it(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    write(tmp_path / "more" / "limits.yaml", "limits: [1]\n")
    path = write(
        tmp_path / "admission.yaml",
        HEAD
        + "plugins:\n- name: A\n  configuration: {kind: X}\n  path: nope.yaml\n"
        + "- name: B\n  path: more/limits.yaml\n- name: A\n  path: nope.yaml\n- name: C\n",
    )
    assert read(path) == {"A": {"kind": "X"}, "B": {"limits": [1]}}


def test_nothing_configured(tmp_path: Path) -> None:
    assert read("") == {}
    assert read(write(tmp_path / "a.yaml", HEAD)) == {}


def test_the_old_form_of_a_whole_file_for_one_plugin(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "podNodeSelectorPluginConfig:\n  ns: a=b\n")
    assert read(path) == {"PodNodeSelector": {"podNodeSelectorPluginConfig": {"ns": "a=b"}}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not YAML"),
        ("[]", "must be an object"),
        ("a: 1", 'no kind "None" is registered for version "None"'),
        (HEAD.replace("/v1", "/v3"), 'version "apiserver.config.k8s.io/v3"'),
        (HEAD + "plugins: 1", "plugins: must be a list"),
        (HEAD + "plugins: [1]", "plugins[0]: must be an object with a name"),
        (HEAD + "plugins: [{name: A, path: gone.yaml}]", "gone.yaml: no such file"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(write(tmp_path / "a.yaml", text))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_plugins_that_are_on_are_checked(tmp_path: Path) -> None:
    def refuse(part: object) -> None:
        raise ConfigurationError(f"bad {part}")

    path = write(tmp_path / "a.yaml", HEAD + "plugins: [{name: A, configuration: 7}]")
    check(path, ["B"], {"A": refuse})
    with pytest.raises(ConfigurationError, match="A: bad 7"):
        check(path, ["A", "B"], {"A": refuse})


def test_what_is_on() -> None:
    gates = {"NodeDeclaredFeatures": True}
    names = order.chosen(["AlwaysPullImages"], ["Priority"], gates)
    assert names[0] == "NamespaceLifecycle"
    assert names[-1] == "ResourceQuota"
    assert "AlwaysPullImages" in names
    assert "NodeDeclaredFeatureValidator" in names
    assert not {"Priority", "NodeRestriction", "PodGroupProtection"} & set(names)
    assert names == [place.name for place in order.ORDER if place.name in names]


def test_plugins_that_do_nothing_are_named() -> None:
    asked = ("JobValidation", "NodeRestriction", "PodGroupProtection", "Priority")
    options = Options(enable_admission_plugins=asked)
    assert chain.without_effect(options) == ["JobValidation", "PodGroupProtection"]
