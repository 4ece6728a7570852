"""What may be decided: each policy gets values and gives an answer, and touches nothing."""
