from tests.same_bytes import compare_outs

BEFORE = {
    "models/head.json": {"md5": "1", "files": {}},
    "data/mini/bank/val.zarr": {"md5": "2.dir", "files": {"a/c/0": "3", "manifest.json": "4"}},
}


def test_equal_outs_have_no_line() -> None:
    assert list(compare_outs(BEFORE, {**BEFORE})) == []


def test_a_file_of_a_folder_is_named() -> None:
    bank = {"md5": "5.dir", "files": {"a/c/0": "6", "b/c/0": "7"}}
    assert list(compare_outs(BEFORE, {**BEFORE, "data/mini/bank/val.zarr": bank})) == [
        "data/mini/bank/val.zarr: differs",
        "  a/c/0: differs",
        "  b/c/0: new",
        "  manifest.json: missing",
    ]


def test_an_out_that_is_a_file_differs() -> None:
    now = {**BEFORE, "models/head.json": {"md5": "8", "files": {}}}
    assert list(compare_outs(BEFORE, now)) == ["models/head.json: differs"]


def test_an_out_that_only_one_has_is_named() -> None:
    now = {"models/head.json": BEFORE["models/head.json"], "models/other.json": {"md5": "9", "files": {}}}
    assert list(compare_outs(BEFORE, now)) == ["data/mini/bank/val.zarr: missing", "models/other.json: new"]
