"""One image onto one disk, and what is said meanwhile."""

from pathlib import Path

from appliance.flashing import terminal, writing
from appliance.flashing.image import Image


def put_onto(image: Image, target: Path) -> None:
    """Write, read back, say that it is done. Raises FlashError."""
    writing_meter, reading_meter = terminal.Meter("write", "書き込み"), terminal.Meter("read back", "照合")
    table = writing.write(image, target, writing_meter, reading_meter)
    terminal.say(
        f"done: {target} holds what was written, disk id {table.disk_id}",
        "完了しました。読み戻した内容は一致しています。",
    )
