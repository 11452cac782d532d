"""The catalogue of a fitted cascade: its items, their ids and their offsets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skdistill.cascade.composition import ComposedOfStages
from skdistill.cascade.funnel import Funnel
from skdistill.index.item_ids import check_distinct, positions_of
from skdistill.inputs.columns import as_table
from skdistill.inputs.ids import as_ids
from skdistill.inputs.offsets import check_offset


class WithCatalogue(ComposedOfStages):
    """Base of a cascade whose fitted stages can rank another catalogue.

    Attributes
    ----------
    funnel_ : Funnel
        The fitted stages, the catalogue and the offsets of its items.
    item_ids_ : ndarray of shape (n_items,) or None
        Ids of the items; None if they are positions.
    """

    funnel_: Funnel
    item_ids_: NDArray[Any] | None

    def index(
        self,
        items: Any,
        ids: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
        **options: Any,
    ) -> Self:
        """Rank another catalogue from now on, with the stages as they are.

        Parameters
        ----------
        items : table of shape (n_items, n_item_columns)
            The items, with the item columns of ``fit``.
        ids : array-like of shape (n_items,), optional
            Distinct ids that ``rank`` returns; positions by default.
        offset : array-like of shape (n_items,), optional
            Such as the logarithms of bids, as in ``fit``. Required if and only if the cascade was
            fitted with an offset.
        **options
            ``engine`` and its options, as in :meth:`TwoTowerRetriever.index`.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
            If the cascade is not fitted.
        ValueError
            If a column is missing, there is no item, ids or offsets are not one per item, or there
            are offsets on one side only.
        """
        check_is_fitted(self, "funnel_")
        items = self.check_items(items)
        n_items = items.shape[0]
        item_ids = None
        if ids is not None:
            item_ids = as_ids(ids)
            if item_ids.shape != (n_items,):
                raise ValueError(
                    f"ids must hold one id per item: expected shape ({n_items},), got "
                    f"{item_ids.shape}."
                )
            check_distinct(item_ids)
        if offset is None and self.funnel_.offset is not None:
            raise ValueError(
                "The cascade was fitted with an offset and orders by score plus offset: pass "
                "offset=, one per item, or zeros to rank by the scores alone."
            )
        added = self.check_offset_of_items(offset, n_items)
        retrieval = self.funnel_.retrieval.indexing(items, added, **options)
        self.funnel_ = replace(self.funnel_, retrieval=retrieval, items=items)
        self.item_ids_ = item_ids
        return self

    def check_offset_of_items(self, offset: ArrayLike | None, n_items: int) -> Any:
        """Check offsets of the items of a catalogue.

        Parameters
        ----------
        offset : array-like of shape (n_items,), or None
            The offsets.
        n_items : int
            Number of items.

        Returns
        -------
        ndarray of shape (n_items,), float64, or None

        Raises
        ------
        ValueError
            If an offset is not finite, there is not one per item, or there are offsets though the
            cascade was fitted without.
        """
        if offset is not None and self.funnel_.offset is None:
            raise ValueError(
                "The cascade was fitted without an offset, so that its scores need not have the "
                "unit of one. Leave out offset, or fit with offset=, such as zeros."
            )
        return check_item_offset(offset, n_items)

    def set_offset(self, ids: ArrayLike, offset: ArrayLike) -> None:
        """Change the offset of some items at all stages, without embedding anything again.

        They are changed in place, also for shallow copies of the cascade. A ``rank`` that runs at
        the same time may see some of the items changed and others not yet.

        Parameters
        ----------
        ids : array-like of shape (n_changed,)
            Distinct ids of the items; their positions if they were indexed without ids.
        offset : array-like of shape (n_changed,)
            The new offset of each of them, such as the logarithm of a bid.

        Raises
        ------
        NotFittedError
            If the cascade is not fitted.
        KeyError
            If an item is not in the catalogue.
        ValueError
            If the cascade was fitted without an offset, an offset is not finite, or an item is
            named twice.
        TypeError
            If a retriever searches by an approximate engine, which cannot change offsets.
        """
        check_is_fitted(self, "funnel_")
        if self.funnel_.offset is None:
            raise ValueError(
                "The cascade was fitted without an offset, so that there is none to change. Pass "
                "offset= to fit, such as zeros."
            )
        given = as_ids(ids)
        values = check_offset(offset, len(given))
        assert values is not None
        positions = positions_of(given, self.item_ids_, self.funnel_.items.shape[0])
        self.funnel_.retrieval.set_offset(positions, values)

    def check_items(self, items: Any) -> Any:
        """Check a catalogue, and bring its columns to the order of ``fit``.

        Parameters
        ----------
        items : table of shape (n_items, n_item_columns)
            The items.

        Returns
        -------
        table of shape (n_items, n_item_columns)

        Raises
        ------
        ValueError
            If there is no item, or a column is missing.
        """
        if np.shape(items)[:1] == (0,):
            raise ValueError("The catalogue items= is empty: there is nothing to rank.")
        return self.pair_columns_.check(as_table(items), "item", keeps_numbers=True)


def check_item_offset(offset: ArrayLike | None, n_items: int) -> NDArray[np.float64] | None:
    """Check that there is one finite offset per item; None stays None.

    Returns
    -------
    ndarray of shape (n_items,), float64, or None

    Raises
    ------
    ValueError
        If an offset is not finite, or there is not one per item of the catalogue.
    """
    if offset is not None and np.shape(offset) != (n_items,):
        raise ValueError(
            "offset must hold one number per item of the catalogue, and not per row of the log: "
            f"items that were never logged are ranked too. Expected shape ({n_items},), got "
            f"{np.shape(offset)}."
        )
    added = check_offset(offset, n_items)
    return None if added is None else added.copy()
