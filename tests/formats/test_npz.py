import contextlib
import io
import os
import pickle
import subprocess
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trilift.errors import InputError
from trilift.formats.npz import read_npz

POSES = {
    "S1": {"Walk 1": [np.arange(12, dtype=np.float32).reshape(2, 3, 2), np.array([[np.nan, 1.0]])]},
    "fps": np.float64(50.0),
    "names": ["a", ("b", None, True)],
    "raw": b"\x00\xff",
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.npz"


def write_pickles(path, **pickles):
    """An archive whose entries are object arrays that hold these pickles."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": ()})
    with zipfile.ZipFile(path, "w") as archive:
        for name, pickled in pickles.items():
            archive.writestr(f"{name}.npy", header.getvalue() + pickled)


def write_pickle(path, pickled):
    write_pickles(path, data=pickled)


def read_pickle(path, pickled):
    write_pickle(path, pickled)
    return read_npz(path, "data")[0]


def message(path, *names):
    with pytest.raises(InputError) as caught:
        read_npz(path, *names)
    assert str(path) in str(caught.value)
    return str(caught.value)


class Calls:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Sets:
    """Pickles as a plain list whose state is set by a function of one's choice."""

    def __init__(self, arguments, function):
        self.arguments, self.function = arguments, function

    def __reduce_ex__(self, protocol):
        return list, (self.arguments,), -1, None, None, self.function


class Plain:
    pass


def attacks(marker):
    command = f"touch {marker}"
    system = Calls(os.system, command)
    return {
        "posix.system": pickle.dumps(system),
        "os.system": f"cos\nsystem\n(S'{command}'\ntR.".encode(),
        "os.system, old opcode": f"(S'{command}'\nios\nsystem\n.".encode(),
        "nt.system": f"cnt\nsystem\n(S'{command}'\ntR.".encode(),
        "eval": pickle.dumps(Calls(eval, f"open({str(marker)!r}, 'w')")),
        "exec": pickle.dumps(Calls(exec, f"open({str(marker)!r}, 'w')")),
        "importlib": (
            f"cimportlib\nimport_module\n(S'os'\ntRp0\n0cbuiltins\ngetattr\n(g0\nS'system'\ntR(S'{command}'\ntR."
        ).encode(),
        "builtins.getattr": b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'__class__'\ntR.",
        "subprocess.Popen": pickle.dumps(Calls(subprocess.Popen, ["touch", str(marker)])),
        "in a dict": pickle.dumps({"S1": {"Walk": [system]}}),
        "as an argument": pickle.dumps(Calls(dict, [("a", system)])),
        "as an argument of what is admitted": f"c_codecs\nencode\n(cos\nsystem\n(S'{command}'\ntRtR.".encode(),
        "as a setter of states": pickle.dumps(Sets(["touch", str(marker)], subprocess.call)),
        "copyreg._reconstructor": pickle.dumps(Plain(), 0),
        "copyreg.add_extension": (
            f"ccopyreg\nadd_extension\n(S'posix'\nS'system'\nI1\ntR\x82\x01(S'{command}'\ntR.".encode("latin1")
        ),
        "in an array in a dict in an array": pickle.dumps(
            np.array({"a": np.array([[system]], dtype=object)}, dtype=object)
        ),
        "in an array": pickle.dumps(np.array([{"a": system}], dtype=object)),
        "in protocol 0": pickle.dumps(system, 0),
        "in protocol 5": pickle.dumps(system, 5),
        "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x10dtype.__reduce__\x93.",
        "numpy.load": f"cnumpy\nload\n(S'{marker}'\ntR.".encode(),
        "numpy.testing": (
            "cnumpy.testing._private.utils\nrunstring\n" + f"(S\"open({str(marker)!r}, 'w')\"\n}}tR."
        ).encode(),
        "another class": b"cnumpy.core.multiarray\n_reconstruct\n(ccollections\nOrderedDict\n(I0\ntS'b'\ntR.",
        "a persistent object": b"S'x'\nQ.",
    }


@pytest.mark.parametrize("attack", attacks(""))
def test_a_pickle_that_calls_something_is_refused_and_does_not_run(path, tmp_path, attack):
    marker = tmp_path / "ran"
    write_pickle(path, attacks(marker)[attack])
    assert "entry 'data': refused" in message(path, "data")
    assert not marker.exists()


HARMLESS = {
    "a data type as class": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.",
    "a huge array": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000000\ntS'b'\ntR.",
    "a huge bytearray": b"\x80\x05\x96" + (2**40).to_bytes(8, "little"),
    "another encoding": b"c_codecs\nencode\n(S'abc'\nS'rot13'\ntR.",
    "attributes of a function": b"c_codecs\nencode\n(N}S'__defaults__'\n(S'utf8'\ntstb.",
    "an array with a buffer": b"cnumpy\nndarray\n((K\x01tS'O'\nS'12345678'\ntR.",
}


@pytest.mark.parametrize("pickled", HARMLESS.values(), ids=HARMLESS)
def test_what_a_pickle_can_do_with_what_is_admitted_is_harmless(path, pickled):
    write_pickle(path, pickled)
    with contextlib.suppress(InputError):
        assert np.size(read_npz(path, "data")[0]) == 0


@pytest.mark.parametrize("entry", ["positions_2d", "metadata"])
def test_a_pickle_that_calls_something_is_refused_in_any_entry(path, tmp_path, entry):
    marker = tmp_path / "ran"
    harmless = pickle.dumps(POSES)
    write_pickles(path, **{"positions_2d": harmless, "metadata": harmless, entry: attacks(marker)["posix.system"]})
    assert f"entry '{entry}': refused" in message(path, "positions_2d", "metadata")
    assert not marker.exists()


def test_what_a_pickle_names_is_shown_on_one_line(path):
    write_pickle(path, b"\x80\x04\x8c\x03o\ns\x8c\x02\x00s\x93.")
    assert "it names o\\ns.\\x00s." in message(path, "data")


def array(dtype, shape, data):
    """The pickle of an array with a state of one's choice."""
    make = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    return b"\x80\x02" + make + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb."


def dtype(code, order=b"<", fields=b"NN", size=b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"):
    named = b"cnumpy\ndtype\n(U" + bytes([len(code)]) + code + b"K\x00K\x01tR"
    return named + b"(K\x03U\x01" + order + b"N" + fields + size + b"tb"


def test_an_array_of_python_2_is_read(path):
    data = np.array([1.5, -2], "<f4").tobytes()
    np.testing.assert_array_equal(read_pickle(path, array(dtype(b"f4"), b"(K\x02t", b"U\x08" + data)), [1.5, -2])


FORGED = {
    "memory as objects": array(
        dtype(b"V8", b"|", b"(U\x01at}U\x01a(" + dtype(b"O", b"|") + b"K\x00ts", b"K\x08K\x01K\x00"),
        b"(K\x01t",
        b"U\x08" + b"\x11" * 8,
    ),
    "objects given as memory": array(dtype(b"O", b"|"), b"(K\x01t", b"U\x08" + b"\x11" * 8),
    "too few numbers": array(dtype(b"f8"), b"(K\x02t", b"U\x08" + b"\x11" * 8),
    "too few objects": array(dtype(b"O", b"|"), b"(J\xff\xff\xff\x7ft", b"]Na"),
    "negative length": array(dtype(b"f8"), b"(J\xff\xff\xff\xfft", b"U\x00"),
    "a data type of its own": b"\x80\x02" + dtype(b"V8", b"|", size=b"K\x08K\x01K\x00") + b".",
    "a structure": pickle.dumps(np.zeros(2, [("a", "f4")]), 2),
    "a date": pickle.dumps(np.zeros(2, "M8[s]"), 2),
}


@pytest.mark.parametrize("forged", FORGED)
def test_an_array_whose_memory_does_not_fit_is_refused(path, forged):
    write_pickle(path, FORGED[forged])
    assert "entry 'data': " in message(path, "data")


def assert_same(found, expected):
    assert isinstance(found, type(expected))
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_array_equal(found, expected)
        assert getattr(found, "dtype", None) == getattr(expected, "dtype", None)


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_containers_of_arrays_in_protocol_2_are_read(path, core):
    pickled = pickle.dumps(np.array(POSES, dtype=object), 2)
    assert b"_codecs\nencode" in pickled
    assert_same(read_pickle(path, pickled.replace(b"numpy._core", core)), POSES)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL))
def test_every_protocol_that_numpy_wrote_is_read(path, protocol):
    assert_same(read_pickle(path, pickle.dumps(np.array(POSES, dtype=object), protocol)), POSES)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_of_numpy_are_read(path, save):
    save(path, positions=np.array(POSES, dtype=object), numbers=np.arange(4), allow_pickle=True)
    numbers, poses = read_npz(path, "numbers", "positions")
    assert_same(poses, POSES)
    np.testing.assert_array_equal(numbers, np.arange(4))


@pytest.mark.parametrize(
    "values",
    [
        np.arange(6, dtype=">f8").reshape(2, 3),
        np.arange(6, dtype=">i2"),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12.0)[::2],
        np.array([True, False]),
        np.array(["Walk", "Sit"]),
        np.array([b"ab", b"c"]),
        np.zeros((0, 17, 2), np.float32),
        np.array([1 + 2j]),
        np.array(2.5),
        np.array([{"a": 1}, [2.0]], dtype=object),
    ],
    ids=lambda values: f"{values.dtype.str} {values.shape}",
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_arrays_of_any_plain_type_keep_their_values(path, values, protocol):
    found = read_pickle(path, pickle.dumps({"a": values}, protocol))["a"]
    assert found.dtype == values.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, values)


def test_reading_leaves_the_types_of_numpy_as_they_are(path):
    read_pickle(path, pickle.dumps({"a": np.arange(3, dtype=">f8")}, 2))
    assert np.dtype("f8").isnative


def test_an_array_that_occurs_twice_is_read_twice(path):
    values = np.arange(3.0)
    found = read_pickle(path, pickle.dumps([values, values], 2))
    np.testing.assert_array_equal(found, [values, values])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.99, 0.9999])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_truncated_archive_is_refused(path, save, share):
    save(path, positions=np.array(POSES, dtype=object), allow_pickle=True)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "no complete .npz file" in message(path, "positions")


def test_a_pickle_truncated_anywhere_is_refused(path):
    pickled = pickle.dumps(POSES, 2)
    for length in range(len(pickled)):
        write_pickle(path, pickled[:length])
        assert "entry 'data': " in message(path, "data")


@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4), st.booleans()
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_ends_in_anything_but_a_clear_refusal(path, changes, compressed):
    (np.savez_compressed if compressed else np.savez)(
        path, positions=np.array(POSES, dtype=object), allow_pickle=True
    )
    content = bytearray(path.read_bytes())
    for where, byte in changes:
        content[int(where * len(content))] = byte
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        read_npz(path, "positions")


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip file\n" * 50, b"\x93NUMPY\x01\x00"])
def test_what_is_no_archive_is_refused(path, content):
    path.write_bytes(content)
    assert "no complete .npz file" in message(path, "positions")


def test_a_damaged_compressed_entry_is_refused(path):
    np.savez_compressed(path, positions=np.arange(1000))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[60:middle] = b"\xff" * (middle - 60)
    path.write_bytes(content)
    message(path, "positions")


def test_a_wrong_byte_in_an_uncompressed_array_is_found_by_the_checksum(path):
    np.savez(path, positions=np.array({"a": np.arange(1000.0)}, dtype=object), numbers=np.arange(1000.0))
    content = path.read_bytes()
    for value in (500.0, 501.0):
        assert content.count(np.float64(value).tobytes()) == 2
    path.write_bytes(content.replace(np.float64(500).tobytes(), np.float64(501).tobytes()))
    assert "entry 'positions': damaged (BadZipFile" in message(path, "positions")
    assert "entry 'numbers': damaged (BadZipFile" in message(path, "numbers")


def test_a_missing_entry_is_named_with_those_that_are_there(path):
    np.savez(path, positions_3d=np.arange(3), metadata=np.arange(2))
    text = message(path, "positions_2d")
    assert "no entry 'positions_2d'" in text
    assert "positions_3d, metadata" in text


def test_a_missing_file_is_named(path):
    assert "not there" in message(path, "positions")


def test_a_folder_is_no_archive(tmp_path):
    message(tmp_path, "positions")


def test_an_entry_that_is_no_array_is_refused(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.npy", "hello")
    assert "entry 'data': damaged" in message(path, "data")
