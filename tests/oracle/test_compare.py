"""The comparison of two runs: it must see every difference that counts."""

from oracle.compare import compare

HEADER = {"type": "header", "vllm": "x", "config": {"block_size": 16}, "usable_blocks": 3}
STEP = {"type": "step", "step": 4, "scheduled": {"a": 1, "b": 7}, "finished": []}


def test_equal_runs_have_no_difference() -> None:
    """The version in the header does not count."""
    assert compare([HEADER, STEP], [HEADER | {"vllm": "y"}, STEP]) is None


def test_a_differing_field_is_shown_with_both_values() -> None:
    """Only the entries of a mapping that differ are shown."""
    text = compare([STEP], [STEP | {"scheduled": {"a": 1, "b": 8}}])
    assert text is not None
    assert text.splitlines()[0] == "first difference: step 4 (ours), step 4 (theirs)"
    assert '! scheduled            ours   {"b": 7}' in text
    assert '                       theirs {"b": 8}' in text


def test_the_order_of_the_scheduled_requests_counts() -> None:
    """Two mappings of the same entries in another order differ."""
    text = compare([STEP], [STEP | {"scheduled": {"b": 7, "a": 1}}])
    assert text is not None and '! scheduled            ours   {"a": 1, "b": 7}' in text


def test_a_missing_field_is_a_difference() -> None:
    """A field that one side lacks is called absent."""
    text = compare([STEP], [STEP | {"spec": {"a": [2, 0]}}])
    assert text is not None and '! spec                 ours   "absent"' in text


def test_a_run_that_ends_early_differs() -> None:
    """The line that only one side has is shown."""
    text = compare([HEADER], [HEADER, STEP])
    assert text is not None and text.startswith("ours ends early")
