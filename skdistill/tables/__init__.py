"""Tables in files: Parquet, CSV and Arrow, larger than memory, written whole or not at all.

One module per format stands behind ``reading.TableFormat``; ``columns`` says which columns a model
reads and which are carried into the output.
"""
