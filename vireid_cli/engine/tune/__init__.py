"""The verb ``tune``: search for the values of a recipe's keys, by the validation identities."""
