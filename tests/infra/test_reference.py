"""The committed reference is the one that the options give."""

from configuration import reference


def test_the_configuration_page_is_up_to_date():
    assert reference.PAGE.read_text() == reference.page(), "run `make docs`"
