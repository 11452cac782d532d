"""Items of a log that are not in the catalogue are counted, and the columns that differ named."""

import warnings

import numpy as np
import pandas as pd
import pytest

from skdistill import TwoTowerRetriever
from tests.small_cascade import DATA, ITEMS, LOG, QUERIES, fit_cascade, students, towers


def repriced(fraction):
    """A log in which the number of one column differs for some of the rows."""
    changed = np.random.default_rng(0).random(len(LOG)) < fraction
    return LOG.assign(y=LOG["y"] + changed), int(changed.sum())


def fit_towers(log):
    return towers(max_iter=1).fit(log, DATA.y, qid=DATA.qid, items=ITEMS)


@pytest.mark.parametrize("fit", [fit_towers, lambda log: fit_cascade(log=log)])
def test_many_rows_that_the_catalogue_lacks_are_told(fit):
    log, n_changed = repriced(0.5)
    expected = (
        rf"{n_changed} of the {len(LOG)} rows of the log have items that are not in the catalogue "
        r".* are in 'y' \(100%\)\. A column that changes from row to row"
    )
    with pytest.warns(UserWarning, match=expected) as told:
        fit(log)
    assert sum("rows of the log have items" in str(one.message) for one in told) == 1
    for fraction in (0, 0.05):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            fit(repriced(fraction)[0])
        assert not [one for one in seen if "rows of the log have items" in str(one.message)]


def test_items_that_nothing_tells_apart_are_told():
    """They get one embedding, and the rows of the log count for the first of them."""
    repeated = pd.concat([ITEMS, ITEMS[:20]], ignore_index=True)
    expected = r"20 of the 80 items of the catalogue items= equal an earlier one"
    with pytest.warns(UserWarning, match=expected):
        towers(max_iter=1).fit(LOG, DATA.y, qid=DATA.qid, items=repeated)
    with pytest.warns(UserWarning, match=expected):
        fit_cascade(items=repeated)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        fit_towers(LOG)
        towers(max_iter=1).fit(LOG, DATA.y, qid=DATA.qid, items=repeated[:62])
    assert not [one for one in seen if "equal an earlier one" in str(one.message)]


def test_a_log_of_other_items_is_refused_by_the_column():
    with pytest.raises(ValueError, match=r"No item of the log .* are in 'y' \(100%\)\. float32"):
        fit_cascade(log=repriced(2)[0])


def test_query_columns_that_differ_within_a_query_are_named_with_their_row():
    order = np.random.default_rng(0).permutation(len(LOG))
    log = LOG.iloc[order].reset_index(drop=True)
    qid, row = DATA.qid[order], 31
    log.loc[row, "b"] += 1
    rows = np.flatnonzero(qid == qid[row])
    found = (
        rf"query: row ({'|'.join(map(str, rows))}) differs from another row .* in \['b'\]\. Give"
    )
    for fit in (fit_cascade, lambda log: towers().fit(log, DATA.y[order], qid=qid, items=ITEMS)):
        with pytest.raises(ValueError, match=found):
            fit(log=log) if fit is not fit_cascade else fit_in_order(log, order)


def fit_in_order(log, order):
    cascade = students()
    return type(cascade)(**cascade.get_params(deep=False)).fit(
        log, DATA.y[order], qid=DATA.qid[order], items=ITEMS
    )


def test_one_query_is_a_table_too():
    query = QUERIES.iloc[0].to_dict()
    cascade = students()
    retriever = cascade.funnel_.retrieval.retrievers["retrieve"]
    assert isinstance(retriever, TwoTowerRetriever)
    for rank in (cascade.rank, retriever.retrieve):
        for asked in (query, [query, query]):
            with pytest.raises(TypeError, match=r"row per query, got dictionaries. Pass pandas.D"):
                rank(asked)
