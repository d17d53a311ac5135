"""The chains of BBH and MMLU, read from the installed lm-eval and held against its own loader."""

from __future__ import annotations

import sys
from pathlib import Path

import jinja2
import pytest

import workbench as wb
from workbench.evaluation.few_shot import (
    BBH,
    MMLU,
    few_shot_examples,
    few_shot_tasks,
    lm_eval_folder,
)


@pytest.fixture(scope="module")
def tasks():
    return few_shot_tasks(distinct=False)


@pytest.mark.parametrize(
    ("number", "folder", "needs_context", "delimiter", "names"),
    [
        (0, BBH, True, "", ["boolean_expressions", "web_of_lies", "word_sorting"]),
        (1, MMLU, False, " ", ["abstract_algebra", "medical_genetics", "world_religions"]),
    ],
)
def test_items_are_the_text_that_lm_eval_makes(
    tasks, number, folder, needs_context, delimiter, names
):
    """lm-eval's loader, with includes, and its own template give the same text."""
    from lm_eval.tasks._yaml_loader import load_yaml

    task = tasks[number]
    assert task.needs_context == needs_context
    assert set(names) < {item.name for item in task.items}
    found = {}
    for path in sorted((lm_eval_folder() / folder).glob("*.yaml")):
        config = load_yaml(path, resolve_func=False)
        if "samples" in config.get("fewshot_config", {}):
            asks = jinja2.Environment(keep_trailing_newline=True).from_string(config["doc_to_text"])
            assert config.get("target_delimiter", " ") == delimiter
            shots = [
                (asks.render(**sample), sample["target"])
                for sample in config["fewshot_config"]["samples"]
            ]
            text = "\n\n".join(ask + delimiter + chain for ask, chain in shots[:3])
            found[config["task"].split("cot_fewshot_")[1]] = text, shots[2][1]
    assert len(found) == {BBH: 27, MMLU: 57}[folder]
    assert {item.name: item.prompt + item.answer for item in task.items} == {
        name: text for name, (text, _) in found.items()
    }
    for item in task.items:
        chain = found[item.name][1].removeprefix("Let's think step by step.")
        assert item.answer in (chain, f" {chain}")


def test_categories_share_out_the_subjects(tasks):
    groups = few_shot_tasks(bbh=0, by_category=True)
    names = ["MMLU, humanities", "MMLU, other", "MMLU, social sciences", "MMLU, stem"]
    assert [group.name for group in groups] == names
    items = [item for group in groups for item in group.items]
    assert sorted(items, key=lambda task: task.name) == list(tasks[1].items)
    category = {item.name: group.name for group in groups for item in group.items}
    assert category["medical_genetics"] == "MMLU, other"
    assert category["abstract_algebra"] == "MMLU, stem"


def test_fewer_are_spread_over_all(tasks):
    bbh, mmlu = few_shot_tasks(bbh=3, mmlu=15, distinct=False)
    assert bbh.items == (tasks[0].items[0], tasks[0].items[13], tasks[0].items[26])
    assert mmlu.items == tasks[1].items[::4]
    assert [task.name for task in few_shot_tasks(mmlu=0)] == ["BBH"]
    for given, said in (({"bbh": 24}, "bbh must lie between 0 and 23"), ({"mmlu": -1}, "got -1")):
        with pytest.raises(ValueError, match=said):
            few_shot_tasks(**given)
    with pytest.raises(ValueError, match="take one at least"):
        few_shot_tasks(bbh=0, mmlu=0)


def test_a_text_that_several_tasks_share_is_one_item(tasks):
    bbh, mmlu = few_shot_tasks()
    texts = [(item.prompt, item.answer) for item in bbh.items]
    assert len(texts) == len(set(texts)) == 23
    assert set(texts) == {(item.prompt, item.answer) for item in tasks[0].items}
    names = [item.name for item in bbh.items]
    assert {"logical_deduction", "tracking_shuffled_objects"} < set(names)
    assert {name for name in names if name in [item.name for item in tasks[0].items]} == set(
        names
    ) - {"logical_deduction", "tracking_shuffled_objects"}
    assert mmlu == tasks[1]


def test_nothing_in_a_task_file_is_run(tmp_path):
    mark = tmp_path / "was-run"
    (tmp_path / "evil.yaml").write_text(
        "task: bbh_cot_fewshot_evil\n"
        "process_docs: !function os.mkdir\n"
        f"doc_to_text: !!python/object/apply:os.mkdir ['{mark}']\n"
        "fewshot_config: {sampler: first_n, samples: [{input: a, target: b}]}\n"
    )
    (tmp_path / "_group.yaml").write_text("group: bbh\ntask: [bbh_cot_fewshot_evil]\n")
    ((name, content),) = few_shot_examples(tmp_path, "bbh_cot_fewshot_")
    assert name == "evil"
    assert content["process_docs"] is content["doc_to_text"] is None
    assert not mark.exists()


def test_the_chains_are_no_part_of_this_project(tasks):
    root = Path(wb.__file__).parent
    kept = [path for path in root.rglob("*") if path.suffix in (".py", ".yaml", ".json", ".txt")]
    ours = "".join(path.read_text(encoding="utf-8") for path in kept)
    assert "few_shot_tasks" in ours
    for task in tasks:
        for item in task.items:
            assert item.answer.strip()[:40] not in ours


def test_without_lm_eval_it_says_what_to_install(tmp_path, monkeypatch):
    with pytest.raises(ImportError, match=r"no worked examples in .*pip install '.\[eval\]'"):
        few_shot_examples(tmp_path, "")
    monkeypatch.setitem(sys.modules, "lm_eval", None)  # what Python takes for "not installed"
    with pytest.raises(ImportError, match=r"not installed; run: pip install '.\[eval\]'"):
        few_shot_tasks()


@pytest.mark.slow
def test_the_default_models_heads_are_needed_for_a_real_chain(default, tasks):
    """The shortest chain of BBH: the detected heads cost more than any of four random draws."""
    heads = wb.HeadSet.parse(
        "L17H3 L17H4 L17H5 L18H6 L18H7 L20H5 L20H6 L21H8 L22H7 L23H1 L23H2 L23H7 L23H8 L24H2",
        default,
    )
    chain = next(item for item in tasks[0].items if item.name == "sports_understanding")
    table = wb.mirror(default, heads, [wb.Task("BBH", (chain,), True)], controls=4)
    (found,) = wb.mirror_items(table).itertuples()
    assert found.detected > 1
    assert found.random_high < found.detected
