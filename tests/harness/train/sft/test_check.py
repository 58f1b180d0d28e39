"""A file of examples looked at before it is trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from evals.base.errors import UsageError
from evals.task import TaskError
from harness.train.sft.check import check_data


def test_a_file_s_lengths_broken_rows_and_first_example(
    byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    path = tmp_path / "x.jsonl"
    rows = [{"prompt": "ab", "response": "cd"}, {"instruction": "x"}, {"text": "one"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{\n")
    found = check_data(str(path), byte_tokenizer, "tags")
    assert (list(found.lengths), list(found.learned)) == ([5, 4], [3, 3])
    assert [sentence.split(":")[0] for sentence in found.broken.such_as] == ["line 2", "line 4"]
    assert found.first.plain == "ab⟪cd<|endoftext|>⟫"
    path.write_text(json.dumps({"messages": [{"role": "assistant", "content": "x"}]}) + "\n")
    with pytest.raises(UsageError, match=r"no examples .*line 1: has messages, and .* no chat template"):
        check_data(str(path), byte_tokenizer, "tags")
    with pytest.raises(TaskError, match="no such file"):
        check_data(str(tmp_path / "none.jsonl"), byte_tokenizer, "tags")
