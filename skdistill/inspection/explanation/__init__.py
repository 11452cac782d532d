"""explain: why a student ranks the rows of a query as it does, column by column."""
