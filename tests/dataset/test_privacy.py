import pytest

from fate.dataset.privacy import personal_data, redacted


@pytest.mark.parametrize(
    "number",
    [
        "(555) 123-4567",
        "+1 (555) 123-4567",
        "+14155552671",
        "5551234567",
        "+49 170 1234567",
        "0170 1234567",
        "030/1234567",
        "07700 900123",
        "+91 98765 43210",
        "+44 (0)20 7946 0958",
        "06 12 34 56 78",
        "+33 6 12 34 56 78",
        "1-800-555-0199",
        "555.123.4567",
        "555-0142",
    ],
)
def test_a_phone_number_is_found_whole(number):
    assert redacted(f"Call {number} tonight.") == "Call [PHONE] tonight."
    assert redacted(f"Her number was {number}.") == "Her number was [PHONE]."


@pytest.mark.parametrize(
    "text",
    [
        "On 1984-06-12 it rained.",
        "Peace came on 11.11.1918 at last.",
        "He was born on 12-10-95.",
        "She counted 10 20 30 and jumped.",
        "They won 21-15-21 in the end.",
        "The wars of 1914 1918 1939 were over.",
        "It cost 10 000 000 crowns.",
        "It cost 100.000.000 marks, or $12.50 10.20 each.",
        "There were 12 500 000 men.",
        "The lamp stood at 192.168.10.12 somehow.",
        "In 1984 he had 1,250,000 sheep.",
        "The years 1914-1918 were cold.",
        "Room 1408 was at the end, and 2001 nights went by.",
        "She said 1000000000 times that she was sorry.",
    ],
)
def test_what_is_no_phone_number_stays(text):
    assert redacted(text) == text


@pytest.mark.parametrize("address", ["ann@example.org", "ann.o'neil@x.org", "a-b.c+d@mail.example.co.uk"])
def test_an_address_is_found_whole(address):
    assert redacted(f"Write to {address}, please.") == "Write to [EMAIL], please."


def test_a_handle_is_found_and_a_price_at_is_not():
    assert redacted("Ask @bob_9 about apples @ 3 each.") == "Ask [HANDLE] about apples @ 3 each."


def test_what_is_found_is_what_is_redacted():
    text = "Write to ann@example.org or @bob_9, or call +14155552671."
    assert list(personal_data(text)) == [
        ("e-mail addresses", "ann@example.org"),
        ("phone numbers", "+14155552671"),
        ("handles", "@bob_9"),
    ]
    assert list(personal_data(redacted(text))) == []


@pytest.mark.parametrize("text", ["a-" * 100_000, "1 " * 100_000, "@" * 100_000, "1-2.3/" * 50_000])
def test_a_long_text_takes_no_long_time(text):
    redacted(text)  # quadratic patterns would take minutes here
