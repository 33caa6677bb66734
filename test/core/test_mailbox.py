import threading
import time

from trt_perception.core.mailbox import Mailbox


def test_the_newest_item_wins_and_the_loss_is_told():
    mailbox = Mailbox()
    assert mailbox.put('a') is False
    assert mailbox.put('b') is True
    assert mailbox.put('c') is True
    assert mailbox.take(0) == 'c'
    assert mailbox.take(0) is None
    assert mailbox.put('d') is False
    assert mailbox.take(0) == 'd'


def test_items_that_are_false_are_items():
    mailbox = Mailbox()
    mailbox.put(0)
    assert mailbox.put('') is True
    assert mailbox.take(0) == ''


def test_take_gives_up_after_its_timeout():
    start = time.monotonic()
    assert Mailbox().take(0.05) is None
    assert 0.04 < time.monotonic() - start < 5


def test_take_waits_for_an_item():
    mailbox = Mailbox()
    taken = []
    thread = threading.Thread(target=lambda: taken.append(mailbox.take()), daemon=True)
    thread.start()
    time.sleep(0.05)
    assert thread.is_alive()
    mailbox.put('a')
    thread.join(10)
    assert taken == ['a']


def test_close_wakes_everybody_who_waits():
    mailbox = Mailbox()
    taken = []
    threads = [threading.Thread(target=lambda: taken.append(mailbox.take()), daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    mailbox.close()
    for thread in threads:
        thread.join(10)
    assert taken == [None] * 3


def test_a_closed_mailbox_gives_nothing_any_more():
    mailbox = Mailbox()
    mailbox.put('a')
    mailbox.close()
    assert mailbox.take() is None
    mailbox.put('b')
    assert mailbox.take() is None


def test_between_threads_every_item_arrives_in_order_or_is_counted_as_lost():
    mailbox = Mailbox()
    count = 3000
    received = []

    def work():
        item = 0
        while item != count:
            item = mailbox.take()
            received.append(item)
            if item % 7 == 0:
                time.sleep(0.0002)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    lost = 0
    for item in range(1, count + 1):
        lost += mailbox.put(item)
        if item % 5 == 0:
            time.sleep(0.0001)
    thread.join(30)
    assert not thread.is_alive()
    assert received == sorted(set(received))
    assert received[-1] == count
    assert len(received) + lost == count
    assert lost > 0  # Else this test shows nothing.
    assert len(received) > 1
