"""The layout of a pool's memory, computed from its rules and not by the program under test.

    layout.py GOLDEN MEMORY

compares the golden table, byte for byte, and then the header in the memory of a pool.
"""

import mmap
import os
import struct
import sys

PAGE, LINE, WORD, BLOCK = 4096, 64, 8, 64 * 1024
SHAPE = ("shards", "workers", "slots", "slot_bytes", "request_blocks", "response_blocks")


def up(number, step):
    return -(-number // step) * step


def numbers(shards, workers, slots, slot_bytes, request_blocks, response_blocks):
    """Shape, sizes and offsets in the order of the header."""
    slot_bytes = up(slot_bytes, LINE)
    cells = 1 << (2 * slots - 1).bit_length()
    # Three lines of single words, and in the fourth a bit per slot; eight lines at least.
    shard_bytes = max(up(3 * LINE + up(slots, 64) // 8, LINE), 8 * LINE)
    inline = shards * slots * slot_bytes
    places, end = [], 0
    for size, step in [
        (PAGE, PAGE),
        (4 * LINE, LINE),
        (workers * 4 * LINE, LINE),
        (workers * 1024, LINE),
        (shards * shard_bytes, LINE),
        (shards * 1024, LINE),
        (shards * cells * WORD, LINE),
        (shards * slots * 3 * LINE, LINE),
        (inline, PAGE),
        (workers * response_blocks * BLOCK, PAGE),
    ]:
        places.append(up(end, step))
        end = places[-1] + size
    requests = up(inline, PAGE)
    return [
        shards, workers, slots, slot_bytes, request_blocks, response_blocks, cells, shard_bytes,
        up(end, PAGE), requests + shards * request_blocks * BLOCK, *places[1:], requests,
    ]  # fmt: skip


def digest(constants, computed):
    """FNV-1a over all of them as words."""
    result = 0xCBF29CE484222325
    for byte in struct.pack(f"<{len(constants) + len(computed)}Q", *constants, *computed):
        result = ((result ^ byte) * 0x100000001B3) % 2**64
    return result


def check(what, found, expected):
    if found != expected:
        sys.exit(f"{what} is {found}, computed is {expected}")


def main(golden, memory):
    lines = [line.split() for line in open(golden) if not line.startswith("#")]
    table = dict(lines)
    names = [name for name, _ in lines]
    shapes = sorted({name.split(".")[0] for name in names if name.endswith(".hash")} - {"header"})
    constants = [int(table[name]) for name in names if name.split(".")[0] not in shapes]
    if len(shapes) < 2 or len(constants) < 30:
        sys.exit(f"{golden} is cut")
    for shape in shapes:
        fields = [name for name in names if name.startswith(shape + ".")][:-2]
        computed = numbers(*(int(table[f"{shape}.{name}"]) for name in SHAPE))
        for field, number in zip(fields, computed, strict=True):
            check(field, int(table[field]), number)
        check(f"{shape}.hash", int(table[f"{shape}.hash"], 16), digest(constants, computed))
        words = [int.from_bytes(b"corewise", "little"), 2, digest(constants, computed), *computed]
        header = struct.pack(f"<{len(words)}Q", *words).hex()
        check(f"{shape}.header", table[f"{shape}.header"], header)

    with open(memory, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        header = mmap.mmap(file.fileno(), PAGE, prot=mmap.PROT_READ)
    at = int(table["header.numbers"])
    found = struct.unpack_from("<20Q", header, at * WORD)
    computed = numbers(*found[:6])
    check("the header of a pool", list(found), computed)
    check("the magic of a pool", header[: len(b"corewise")], b"corewise")
    check("the length of a pool", size, computed[len(SHAPE) + 2])
    (hash_found,) = struct.unpack_from("<Q", header, int(table["header.hash"]) * WORD)
    check("the hash of a pool", hash_found, digest(constants, computed))


main(*sys.argv[1:])
