"""The table of what fits: current on its page, and monotone where it has to be."""

from __future__ import annotations

from pathlib import Path

from harness.models.devices import DEVICES
from harness.plan import sizes

PAGE = Path(__file__).parents[3] / "docs" / "gpus.md"


def test_the_committed_table_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == sizes.in_page(text), (
        "docs/gpus.md is not what is computed now: run `make reference` (python scripts/reference.py)"
    )
    assert text.count(sizes.BEGINS) == text.count(sizes.ENDS) == 1


def test_more_memory_never_takes_more_saving_settings() -> None:
    order = {rung.name: place for place, rung in enumerate(sizes.LADDER)} | {"": len(sizes.LADDER)}
    found = sizes.sizes(["l4", "l40s", "h100", "h200"])
    for each in found:
        assert (each.seconds is None) == (not each.settings)
        assert (each.memory_gib <= DEVICES[each.device].memory) == bool(each.settings)
        larger = [
            other for other in found
            if (other.model, other.group_size, other.max_tokens)
            == (each.model, each.group_size, each.max_tokens)
            and DEVICES[other.device].memory >= DEVICES[each.device].memory
        ]  # fmt: skip
        assert all(order[other.settings] <= order[each.settings] for other in larger)
    assert {each.settings for each in found} >= {"as it is", "LoRA", ""}


def test_what_one_process_alone_can_do_is_left_out_for_several() -> None:
    alone = {rung.name for rung in sizes.LADDER if rung.alone}
    assert alone.isdisjoint(each.settings for each in sizes.sizes(["l4"], count=2))
    assert alone & {each.settings for each in sizes.sizes(["l4"])}


def test_each_setting_named_on_the_page_is_a_rung() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [rung.name for rung in sizes.LADDER if f"\n| {rung.name} | `" not in text] == []
