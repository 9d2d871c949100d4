"""What tests know of a journal's bytes."""

from betatrader.store import journal


def frame_ends(data: bytes) -> list[int]:
    """Where each frame of a file ends; the first is the head."""
    position, ends = len(journal.MAGIC), []
    while position < len(data):
        position += journal.FRAME + int.from_bytes(data[position : position + 4])
        ends.append(position)
    return ends
