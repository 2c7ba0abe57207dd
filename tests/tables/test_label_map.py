"""Label maps in every form, and labels.json."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import InputError
from pipeline.tables.label_map import (
    AVA_EVALUATED,
    Label,
    read_label_map,
    read_labels,
    write_labels,
)

PBTXT = """
# a comment
item {
  name: "wave \\"hello\\", twice"
  id: 2
  group: "long term"
}
label { name: 'sit' label_id: 1 label_type: PERSON_MOVEMENT }
item{id:20 name:"eat"}
"""


def written(tmp_path, text: str, name: str = "labels.txt"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_the_sixty_classes_of_ava(fixtures, real):
    expected = read_label_map(fixtures / "parity" / "ava_eval" / "labelmap_ava60_evaluated.csv")
    assert list(AVA_EVALUATED) == expected
    assert read_label_map(real / "label_maps" / "ava.txt") == expected
    assert read_label_map(real / "label_maps" / "ava_action_list_v2.1_for_activitynet_2018.pbtxt") == expected
    assert len(read_label_map(fixtures / "parity" / "ava_eval" / "labelmap_ava80.csv")) == 80


def test_forms(tmp_path):
    expected = [
        Label(1, "sit", "person_movement"),
        Label(2, 'wave "hello", twice', "long_term"),
        Label(20, "eat", "object_manipulation"),
    ]
    assert read_label_map(written(tmp_path, PBTXT)) == expected
    text = '\ufeffid,name,group\n20,eat,\n2,"wave ""hello"", twice",long term\n\n1,sit,PERSON_MOVEMENT\n'
    assert read_label_map(written(tmp_path, text)) == expected
    assert read_label_map(written(tmp_path, "1: sit\n\n64: a: b\n")) == [
        Label(1, "sit", "person_movement"),
        Label(64, "a: b", "person_interaction"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found no class, expected a label map"),
        (
            "abseiling\nair drumming\n",
            "line 1: found 'abseiling', expected 'item {', a header 'id,name' or lines 'id: name'",
        ),
        ("0: push up\n", "line 1: id is '0', expected an integer from 1 on"),
        ("1: sit\nstand\n", "line 2: found 'stand', expected 'id: name'"),
        ("1: sit\n1: stand\n", "line 2: id 1 comes a second time"),
        ("1: sit\n2:\n", "line 2: class 2 has no name"),
        ("1: sit\nx: y\n", "line 2: id is 'x', expected an integer from 1 on"),
        ("1: sit\n100001: stand\n", "line 2: id is '100001', expected at most 100000"),
        ("id,title\n1,sit\n", "header is id,title, expected id,name or id,name,group"),
        ("id,name\n1,sit,3\n", "line 2: found 3 columns, expected 2"),
        ("item name", "line 1: found 'name', expected '{'"),
        ("item", "the file ends, expected '{'"),
        ('item {\n  name: "sit"\n  id: 1\n', "line 1: 'item' does not end, expected '}'"),
        ('item {\n  name: "sit\n', "line 2: a quotation does not end"),
        ("item {\n  id }", "line 2: found '}', expected ':'"),
        ("item {\n  id: }", "line 2: found '}', expected a value of 'id'"),
        ('item { name: "sit" }', "line 1: id is '', expected an integer from 1 on"),
        (
            'item {\n  nme: "sit"\n}',
            "line 2: field is 'nme', expected one of id, label_id, name, group, label_type, display_name",
        ),
        ("{", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ('{"classes": 1}', 'expected {"classes": [{"id", "name", "group"}, ...]}'),
        ('{"classes": [{"id": 1}]}', "class 1: expected the keys id, name and group"),
    ],
)
def test_refusals(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_label_map(path)
    assert str(caught.value) == f"{path}: {message}"


def test_absent_unreadable_and_not_text(tmp_path):
    with pytest.raises(InputError, match=r"/no\.txt: no such file$"):
        read_label_map(tmp_path / "no.txt")
    with pytest.raises(InputError, match=r": cannot be read: Is a directory$"):
        read_label_map(tmp_path)
    (tmp_path / "b").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"/b: not UTF-8 text, expected a label map$"):
        read_label_map(tmp_path / "b")


def test_one_name_per_line_and_ids_from_zero_are_no_label_map(real):
    for name in ("kinetics400.txt", "multisports.txt"):
        with pytest.raises(InputError):
            read_label_map(real / "label_maps" / name)


text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1).map(str.strip)
labels = st.lists(
    st.tuples(st.integers(1, 100_000), text.filter(bool)), min_size=1, max_size=5, unique_by=lambda each: each[0]
)


@given(labels)
def test_every_form_reads_back_the_same(scratch, pairs):
    expected = [Label(class_id, name, "some_group") for class_id, name in sorted(pairs)]
    items = []
    for class_id, name in pairs:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        items.append(f'item {{ name: "{quoted}" id: {class_id} group: "Some Group" }}')
    path = scratch / "round_trip"
    path.write_text("\n".join(items))
    assert read_label_map(path) == expected
    write_labels(path, expected[::-1])
    assert read_labels(path) == read_label_map(path) == expected


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(scratch, content):
    path = scratch / "any"
    path.write_text(content)
    try:
        found = read_label_map(path)
    except InputError as error:
        message = str(error)
    else:
        assert found
        return
    assert "\n" not in message


def test_an_id_of_0_may_be_left_out(tmp_path):
    path = written(tmp_path, 'label {\n  name: "walk"\n}\nlabel {\n  name: "sit"\n  label_id: 1\n}\n')
    assert [(label.id, label.name) for label in read_label_map(path, first_id=0)] == [(0, "walk"), (1, "sit")]
    with pytest.raises(InputError, match="line 1: id is '', expected an integer from 1 on"):
        read_label_map(path)


@pytest.mark.parametrize("ids", ["2", "1 3", "1 1", "1 x"])
def test_an_id_that_was_forgotten_is_no_0(tmp_path, ids):
    """Every class would have its neighbour's name."""
    items = "".join(f'item {{ name: "c{each}" id: {each} }}\n' for each in ids.split())
    path = written(tmp_path, f'item {{ name: "walk" }}\n{items}')
    with pytest.raises(InputError, match="id is"):
        read_label_map(path, first_id=0)
