"""The median round trip of a message to another process and back, in nanoseconds.

python3 round_trip.py python-pipe|python-pool CPU CPU BYTES SECONDS
"""

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Pipe, Process


def echo(message):
    return message


def serve(pipe, cpu):
    os.sched_setaffinity(0, {cpu})
    while True:
        pipe.send_bytes(pipe.recv_bytes())


def pin(cpu):
    os.sched_setaffinity(0, {cpu})


def median(ask, seconds):
    for _ in range(20):
        ask()
    samples = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter_ns()
        ask()
        samples.append(time.perf_counter_ns() - began)
    return sorted(samples)[len(samples) // 2]


def main(way, own_cpu, other_cpu, length, seconds):
    pin(own_cpu)
    message = bytes(length)
    if way == "python-pool":
        with ProcessPoolExecutor(1, initializer=pin, initargs=(other_cpu,)) as pool:
            # Its threads carry the messages, and stay where their process is.
            print(median(lambda: pool.submit(echo, message).result(), seconds))
        return
    ours, theirs = Pipe()
    partner = Process(target=serve, args=(theirs, other_cpu), daemon=True)
    partner.start()

    def ask():
        ours.send_bytes(message)
        assert len(ours.recv_bytes()) == length

    print(median(ask, seconds))


way, own_cpu, other_cpu, length, seconds = sys.argv[1:]
main(way, int(own_cpu), int(other_cpu), int(length), float(seconds))
