"""Results in the formats of others: gradebooks, reporters and test dashboards. Pure functions of result records."""
