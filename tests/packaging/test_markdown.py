"""The reader of Markdown that the README's test relies on."""

from tests.packaging import markdown

PAGE = """\
# One

```python
a = 1
```

words

```python
assert a == 1
```

## Two

~~~bash
pip install . && rlseq train core=gru \\
    seeds=2  # a comment
# only a comment
rlseq list cores | head -1
~~~

```console
$ rlseq eval "runs/one two" --greedy
mean return 1.0 +- 0.0 over 4 episodes
```
"""


def test_blocks_of_one_heading_are_one_script_with_the_lines_of_the_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    [(heading, script)] = markdown.scripts(page).items()
    assert heading == 1
    lines = script.split("\n")
    assert lines[3] == "a = 1" and lines[9] == "assert a == 1" and len(lines) == 10


def test_commands_leave_out_comments_output_and_prompts(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert markdown.commands(page) == [
        ["pip", "install", "."],
        ["rlseq", "train", "core=gru", "seeds=2"],
        ["rlseq", "list", "cores"],
        ["head", "-1"],
        ["rlseq", "eval", "runs/one two", "--greedy"],
    ]
