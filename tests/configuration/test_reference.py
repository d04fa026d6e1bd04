"""The committed reference page is up to date."""

from configuration import reference


def test_the_configuration_page_is_up_to_date() -> None:
    assert reference.PAGE.read_text() == reference.page(), "run `make docs`"
