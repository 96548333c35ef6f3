"""Which cell of the matrix a test of the client suite fills: the client's column, the feature's line."""

from collections.abc import Callable

import pytest


def matrix_column(client: str) -> Callable[[str], pytest.MarkDecorator]:
    """Gives the mark of a test that covers a feature, one of the suite's `FEATURES`, for `client`."""
    return lambda feature: pytest.mark.row(f"{client}: {feature}")
