"""A stick and what it says about the data partition."""

from pathlib import Path

import pytest

from appliance.datapartition import identity, making, medium, reset
from appliance.datapartition.encryption import Encryption
from appliance.datapartition.errors import MediumError
from appliance.datapartition.medium import Medium

KEY = "cbde-fghi-jkln-rtuv-cbde-fghi-jkln-rtuv"


@pytest.fixture(name="stick")
def _stick(tmp_path: Path) -> Medium:
    return Medium(folder=tmp_path, is_writable=True)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", Encryption.NONE),
        ('[site]\nserial = "RB-1"\n', Encryption.NONE),
        ('[storage]\nencryption = "none"\n', Encryption.NONE),
        ('\ufeff[storage]\r\nencryption = "tpm2"\r\n', Encryption.TPM2),
        ('storage.encryption = "passphrase"\n', Encryption.PASSPHRASE),
    ],
)
def test_how_it_is_to_be_encrypted(stick: Medium, text: str, wanted: Encryption) -> None:
    (stick.folder / "rokubox.toml").write_text(text, "utf-8")
    assert stick.encryption() is wanted


def test_no_configuration_asks_for_nothing(stick: Medium) -> None:
    assert stick.encryption() is Encryption.NONE


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b'[storage]\nencryption = "tpm"\n', 'rokubox.toml: storage.encryption: \'tpm\' is none of "none", "tpm2"'),
        (b"[storage]\nencryption = true\n", "rokubox.toml: storage.encryption: True is none of"),
        (b"storage = 3\n", "rokubox.toml: storage.encryption: 3 is none of"),
        (b"[storage\n", r"rokubox.toml: .*line 1"),
        (b"\xff\xfe", "rokubox.toml: not text in UTF-8"),
    ],
)
def test_a_slip_of_the_pen_is_no_choice(stick: Medium, content: bytes, text: str) -> None:
    (stick.folder / "rokubox.toml").write_bytes(content)
    with pytest.raises(MediumError, match=text):
        stick.encryption()


def test_keys_that_may_open_it(stick: Medium) -> None:
    assert stick.keys() == []
    (stick.folder / "passphrase.txt").write_text("a long phrase\r\nand a note", "utf-8")
    (stick.folder / "rokubox-recovery-key-RB-1.txt").write_text(f"rokubox\n\n{KEY}\n\nOpens box RB-1", "utf-8")
    assert stick.keys() == ["a long phrase", KEY]
    (stick.folder / "passphrase.txt").write_text("short", "utf-8")
    assert stick.keys() == [KEY]
    with pytest.raises(MediumError, match=r"passphrase\.txt: a passphrase has at least 8 characters"):
        stick.passphrase()


def test_an_encrypted_partition_leaves_its_recovery_key_on_the_stick(stick: Medium) -> None:
    (stick.folder / "rokubox.toml").write_text('[storage]\nencryption = "passphrase"\n', "utf-8")
    (stick.folder / "passphrase.txt").write_text("a long phrase", "utf-8")
    order = making.order_of(stick, "RB-1")
    assert (order.encryption, order.passphrase) == (Encryption.PASSPHRASE, "a long phrase")
    assert stick.keys() == ["a long phrase", order.recovery_key]
    again = making.order_of(stick, "RB-1")
    assert again.recovery_key != order.recovery_key
    assert stick.keys() == ["a long phrase", again.recovery_key]


def test_it_has_to_be_writable_for_that(tmp_path: Path) -> None:
    (tmp_path / "rokubox.toml").write_text('[storage]\nencryption = "passphrase"\n', "utf-8")
    with pytest.raises(MediumError, match="it cannot be written to, and the recovery key has to be written there"):
        making.order_of(Medium(folder=tmp_path, is_writable=False), "RB-1")


@pytest.mark.parametrize("name", ["factory-reset", "factory-reset.txt"])
def test_a_reset_names_its_box(stick: Medium, name: str) -> None:
    assert stick.reset_of() is None
    (stick.folder / name).write_bytes("\ufeffrb-1 \r\n".encode())
    said = stick.reset_of()
    assert said == "rb-1"
    assert not reset.refusal(stick, said, "RB-1")
    assert (
        reset.refusal(stick, said, "RB-2")
        == "factory-reset names 'rb-1', and this box is 'RB-2': nothing was destroyed"
    )
    stick.take_reset()
    assert stick.reset_of() is None
    assert (stick.folder / "factory-reset.done").exists()


@pytest.mark.parametrize("label", ["ROKUBOX", "rokubox", "Rokubox"])
def test_it_is_found_by_its_label(tmp_path: Path, label: str) -> None:
    assert medium.device(tmp_path / "none") is None
    (tmp_path / "DATA").touch()
    assert medium.device(tmp_path) is None
    (tmp_path / label).touch()
    assert medium.device(tmp_path) == tmp_path / label


def test_a_reset_is_answered_on_the_stick(tmp_path: Path) -> None:
    assert "cannot be written to" in reset.refusal(Medium(folder=tmp_path, is_writable=False), "RB-1", "RB-1")


@pytest.mark.parametrize(
    ("product", "board", "address", "serial"),
    [
        ("RB 0001", "X", "52:54:00:12:34:56", "RB-0001"),
        ("To be filled by O.E.M.", "B123", "52:54:00:12:34:56", "B123"),
        ("Default string", "", "52:54:00:12:34:56", "525400123456"),
        ("0123456789", "None", None, "unknown"),
        (None, None, "52:54:00:12:34:56", "525400123456"),
    ],
)
def test_what_a_box_is_called(
    tmp_path: Path, product: str | None, board: str | None, address: str | None, serial: str
) -> None:
    (tmp_path / "eth0").mkdir()
    for name, said in (("product_serial", product), ("board_serial", board), ("eth0/address", address)):
        if said is not None:
            (tmp_path / name).write_text(f"{said}\n", "ascii")
    assert identity.serial(tmp_path, tmp_path) == serial
