"""Missing values are scored if the model takes them, wherever in it they are filled in."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from sklearn.compose import make_column_transformer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skdistill.serving import FrameScorer, TableError, score_table
from skdistill.serving.batch.table_scorer import PredictingScorer
from skdistill.students import LinearRanker

FRAME = pd.DataFrame(
    {
        "a": [np.nan, 1.0, 2.0, 3.0, 4.0, 5.0],
        "b": np.arange(6.0),
        "c": ["x", "y", None, "x", "y", "z"],
    }
)
Y, QID = np.arange(6) % 2, np.repeat([0, 1], 3)


def fill(X):
    return X.fillna(0.0)


def pipeline(*steps):
    return make_pipeline(*steps, LinearRanker(max_iter=2, random_state=0))


IMPUTES_A = {
    "of a ColumnTransformer": lambda: make_column_transformer(
        (SimpleImputer(), ["a"]), ("passthrough", ["b"])
    ),
    "behind a scaler": lambda: make_pipeline(
        make_column_transformer((StandardScaler(), ["a"]), remainder="passthrough"),
        make_column_transformer((KNNImputer(), [0]), remainder="passthrough"),
    ),
    "in a union": lambda: FeatureUnion(
        [
            (
                "both",
                make_pipeline(
                    make_column_transformer(("passthrough", ["a"]), ("passthrough", ["b"])),
                    make_column_transformer((SimpleImputer(), [0]), remainder="passthrough"),
                ),
            )
        ]
    ),
}


@pytest.mark.parametrize("name", IMPUTES_A)
def test_cells_are_missing_only_where_the_model_fills_them_in(tmp_path, name):
    frame = FRAME[["a", "b"]]
    model = pipeline(IMPUTES_A[name]()).fit(frame, Y, linearranker__qid=QID)
    np.testing.assert_allclose(FrameScorer(model)(frame)["score"], model.predict(frame), atol=1e-6)
    holes = frame.assign(b=frame["b"].where(frame.index != 4))
    holes.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(TableError, match="row 4: column 'b' holds nothing"):
        score_table(model, tmp_path / "a.parquet", tmp_path / "out")
    rejects = tmp_path / "rejects.csv"
    score_table(model, tmp_path / "a.parquet", tmp_path / "out2", rejects=rejects)
    put_aside = pd.read_csv(rejects)
    assert put_aside[["row", "column"]].values.tolist() == [[4, "b"]]
    scored = parquet.read_table(tmp_path / "out2")["score"].to_numpy()
    np.testing.assert_allclose(scored, model.predict(frame.drop(index=4)), atol=1e-6)


def test_the_model_is_asked_even_if_no_row_is_complete(tmp_path):
    transformer = make_column_transformer((SimpleImputer(), ["a"]), ("passthrough", ["b"]))
    frame = FRAME[["a", "b"]]
    model = pipeline(transformer).fit(frame, Y, linearranker__qid=QID)
    holes = frame.assign(a=np.nan, b=frame["b"].where(frame.index > 2))
    holes.to_parquet(tmp_path / "a.parquet")
    rejects = tmp_path / "rejects.csv"
    score_table(model, tmp_path / "a.parquet", tmp_path / "out", rejects=rejects)
    assert pd.read_csv(rejects)[["row", "column"]].values.tolist() == [[n, "b"] for n in range(3)]
    # The answers are kept, so that the model is asked once.
    scorer = PredictingScorer(model)
    batch = pa.RecordBatch.from_pandas(holes, preserve_index=False)
    scorer.scores(batch, "file", 0)
    assert scorer.takes_missing == {0: True, 1: False}


def test_missing_text_is_scored_as_the_encoder_takes_it(tmp_path):
    encoder = OneHotEncoder(handle_unknown="ignore")
    transformer = make_column_transformer((encoder, ["c"]), remainder="passthrough")
    frame = FRAME[["b", "c"]]
    model = pipeline(transformer).fit(frame, Y, linearranker__qid=QID)
    frame.to_parquet(tmp_path / "a.parquet")
    score_table(model, tmp_path / "a.parquet", tmp_path / "out")
    scored = parquet.read_table(tmp_path / "out")["score"].to_numpy()
    np.testing.assert_allclose(scored, model.predict(frame), atol=1e-6)


@pytest.mark.parametrize("type_", [pa.null(), pa.float64()])
def test_a_column_of_nothing_is_a_column_of_missing_values(tmp_path, type_):
    model = pipeline(FunctionTransformer(fill)).fit(FRAME[["a", "b"]], Y, linearranker__qid=QID)
    parquet.write_table(pa.table({"a": pa.nulls(2, type_), "b": [1.0, 2.0]}), tmp_path / "a.pq")
    score_table(model, tmp_path / "a.pq", tmp_path / "out")
    expected = model.predict(pd.DataFrame({"a": [0.0, 0.0], "b": [1.0, 2.0]}))
    scored = parquet.read_table(tmp_path / "out")["score"].to_numpy()
    np.testing.assert_allclose(scored, expected, atol=1e-6)
    bare = LinearRanker(max_iter=2).fit(FRAME[["b"]].to_numpy(), Y, qid=QID)
    parquet.write_table(pa.table({"b": pa.nulls(2, type_)}), tmp_path / "b.pq")
    with pytest.raises(TableError, match="row 0: column 'b' holds nothing"):
        score_table(bare, tmp_path / "b.pq", tmp_path / "out2")


def test_a_category_that_the_model_refuses_is_no_missing_value(tmp_path):
    """The message is the model's own, and no complete row is blamed."""
    transformer = make_column_transformer(
        (OneHotEncoder(), ["c"]), (SimpleImputer(), ["a"]), remainder="passthrough"
    )
    frame = FRAME.fillna({"c": "z"})
    model = pipeline(transformer).fit(frame, Y, linearranker__qid=QID)
    frame.assign(c=["x", "y", "new", "x", "y", "z"]).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(TableError, match="rows 0 to 5: .*column 'c'.*did not see 'new'"):
        score_table(model, tmp_path / "a.parquet", tmp_path / "out")
