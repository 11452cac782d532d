"""Tables in files: Parquet, CSV and Arrow files larger than memory, written whole or not at all.

Each format has a module that implements ``reading.TableFormat``. ``columns`` determines which
columns a model reads and which are copied to the output.
"""
