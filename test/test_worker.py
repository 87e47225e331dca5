"""The newest item wins; threads meet at events, never by waiting a while."""

import threading

import pytest

from fcrn_ros.shell.worker import NewestFirst

PATIENCE = 20.0  # [s], only ever waited out by a fault


class Station:
    """Work that reports each item it begins and holds it until it is let go."""

    def __init__(self):
        self.done, self.dropped, self.threads = [], [], set()
        self.begun, self.let_go = threading.Semaphore(0), threading.Semaphore(0)
        self.worker = NewestFirst(self._work, lambda key, item: self.dropped.append(item))

    def _work(self, items):
        (item,) = items.values()
        self.threads.add(threading.current_thread())
        self.begun.release()
        assert self.let_go.acquire(timeout=PATIENCE)
        self.done.append(item)

    def begins(self):
        """Wait until the next item is in work."""
        assert self.begun.acquire(timeout=PATIENCE)

    def finish(self):
        """Let the item in work go."""
        self.let_go.release()


@pytest.fixture
def station():
    station = Station()
    yield station
    for _ in range(9):
        station.finish()
    station.worker.stop(PATIENCE)


def test_items_are_worked_on_in_another_thread(station):
    station.worker.put('a')
    station.begins()
    assert station.done == []  # put() did not wait for the work
    station.finish()
    station.worker.put('b')
    station.begins()
    assert station.done == ['a']
    assert len(station.threads) == 1 and threading.current_thread() not in station.threads


def test_the_newest_replaces_the_one_that_waits(station):
    """While a is in work, b, c and d come: b and c are dropped, in their order."""
    station.worker.put('a')
    station.begins()
    for item in 'bcd':
        station.worker.put(item)
    assert station.dropped == ['b', 'c']
    station.finish()
    station.begins()
    station.finish()
    station.worker.stop(PATIENCE)
    assert station.done == ['a', 'd']
    assert station.dropped == ['b', 'c']


def test_nothing_is_dropped_where_the_work_keeps_up(station):
    for item in 'abc':
        station.worker.put(item)
        station.begins()
        station.finish()
    station.worker.stop(PATIENCE)
    assert station.done == ['a', 'b', 'c'] and station.dropped == []


def test_an_item_that_is_false_is_an_item(station):
    """Zero and the empty string are not 'nothing': they wait, are replaced and worked on."""
    station.worker.put(0)
    station.begins()
    station.worker.put(0)
    station.worker.put('')
    assert station.dropped == [0]
    station.finish()
    station.begins()
    station.finish()
    station.worker.stop(PATIENCE)
    assert station.done == [0, '']


def test_drops_are_reported_in_the_thread_that_puts():
    release, threads = threading.Event(), []
    begun = threading.Event()

    def work(_):
        begun.set()
        release.wait(PATIENCE)

    worker = NewestFirst(work, lambda *_: threads.append(threading.current_thread()))
    worker.put(1)
    assert begun.wait(PATIENCE)
    worker.put(2)
    worker.put(3)
    assert threads == [threading.current_thread()]
    release.set()
    worker.stop(PATIENCE)


def test_stop_finishes_the_item_in_work_and_forgets_the_one_that_waits(station):
    station.worker.put('a')
    station.begins()
    station.worker.put('b')
    stopper = threading.Thread(target=station.worker.stop, args=(PATIENCE,))
    stopper.start()
    while not station.worker._stopping:  # set before stop() waits for the thread
        pass
    station.finish()
    stopper.join(PATIENCE)
    assert not stopper.is_alive()
    assert station.done == ['a'] and station.dropped == []
    assert not station.worker._thread.is_alive()


def test_stop_without_work_ends_the_thread():
    worker = NewestFirst(lambda _: None, lambda *_: None)
    worker.stop(PATIENCE)
    assert not worker._thread.is_alive()
    worker.stop(PATIENCE)  # twice is no harm


def test_stop_does_not_wait_for_ever(station):
    """Work that hangs keeps a shutdown for its timeout at most; the thread is a daemon."""
    station.worker.put('a')
    station.begins()
    station.worker.stop(0.01)
    assert station.worker._thread.is_alive() and station.worker._thread.daemon


def test_many_threads_put_and_every_item_is_worked_on_or_dropped():
    done, dropped, lock = [], [], threading.Lock()
    last = threading.Event()

    def work(items):
        done.extend(items.values())
        if 'last' in done:
            last.set()

    def drop(key, item):
        with lock:
            dropped.append(item)

    worker = NewestFirst(work, drop)
    threads = [
        threading.Thread(target=lambda i=i: [worker.put((i, k)) for k in range(50)])
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    worker.put('last')
    assert last.wait(PATIENCE)
    worker.stop(PATIENCE)
    assert sorted(done[:-1] + dropped) == [(i, k) for i in range(4) for k in range(50)]


# -- several keys ------------------------------------------------------------------------------


class Batches:
    """Work that notes the batches that it got."""

    def __init__(self, keys):
        self.batches, self.dropped = [], []
        self.begun, self.let_go = threading.Semaphore(0), threading.Semaphore(0)
        self.worker = NewestFirst(self._work, lambda *what: self.dropped.append(what), keys)

    def _work(self, items):
        self.batches.append(list(items.items()))
        self.begun.release()
        assert self.let_go.acquire(timeout=PATIENCE)


@pytest.fixture
def batches():
    batches = Batches(('front', 'left', 'right'))
    yield batches
    for _ in range(9):
        batches.let_go.release()
    batches.worker.stop(PATIENCE)


def test_items_of_several_keys_are_worked_on_together_in_the_order_of_the_keys(batches):
    """While the first is in work, right, left and front come: one batch, front first."""
    batches.worker.put('a', 'left')
    assert batches.begun.acquire(timeout=PATIENCE)
    for key in ('right', 'left', 'front'):
        batches.worker.put(key[0], key)
    batches.let_go.release()
    assert batches.begun.acquire(timeout=PATIENCE)
    assert batches.batches[1] == [('front', 'f'), ('left', 'l'), ('right', 'r')]


def test_a_key_that_stays_away_does_not_hold_the_others(batches):
    batches.worker.put('a', 'left')
    assert batches.begun.acquire(timeout=PATIENCE)
    assert batches.batches == [[('left', 'a')]]


def test_each_key_drops_its_own_older_item(batches):
    """While a is in work, two of left and one of right come: only left's first is dropped."""
    batches.worker.put('a', 'front')
    assert batches.begun.acquire(timeout=PATIENCE)
    for key, item in (('left', 1), ('right', 2), ('left', 3)):
        batches.worker.put(item, key)
    batches.let_go.release()
    assert batches.begun.acquire(timeout=PATIENCE)
    assert batches.batches[1] == [('left', 3), ('right', 2)]
    assert batches.dropped == [('left', 1)]
