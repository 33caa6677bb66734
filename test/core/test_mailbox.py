import threading
import time
from collections import Counter

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
    assert mailbox.put(0) is False
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


# Several senders.

def test_of_every_sender_the_newest_item_wins():
    mailbox = Mailbox([0, 0])
    assert [mailbox.put(item, sender) for item, sender in (('a1', 0), ('b1', 1), ('a2', 0), ('b2', 1))] == [
        False, False, True, True]
    assert [mailbox.take(0) for _ in range(3)] == ['a2', 'b2', None]


def test_the_sender_whose_last_turn_is_longest_ago_is_next_however_often_others_send():
    mailbox = Mailbox([0, 0, 0])
    for sender in (2, 0, 1, 0, 2, 2):
        mailbox.put(sender, sender)
    assert mailbox.take(0) == 2
    mailbox.put(2, 2)  # Its next item waits behind those of the others.
    assert [mailbox.take(0) for _ in range(4)] == [0, 1, 2, None]


def test_a_fast_sender_gets_no_more_turns_than_the_others_while_they_wait_too():
    mailbox = Mailbox([0] * 4)
    turns = Counter()
    for _ in range(100):
        for sender in (0, 0, 0, 1, 2, 3):
            mailbox.put(sender, sender)
        turns[mailbox.take(0)] += 1
    assert set(turns.values()) == {25}


def test_senders_that_always_send_in_one_order_get_equal_turns_though_some_rounds_are_too_short_for_all():
    mailbox = Mailbox([0] * 4)
    turns = Counter()
    for number in range(40):
        for sender in range(4):
            mailbox.put(sender, sender)
        for _ in range((3, 8)[number % 2]):
            turns[mailbox.take(0)] += 1
    del turns[None]
    assert sum(turns.values()) == 20 * 7
    assert set(turns.values()) == {35}


def test_a_higher_priority_goes_first_and_equals_take_turns():
    mailbox = Mailbox([1, 5, 1])
    for sender in (0, 2, 1):
        mailbox.put(sender, sender)
    assert mailbox.take(0) == 1
    mailbox.put(1, 1)
    assert [mailbox.take(0) for _ in range(3)] == [1, 0, 2]
