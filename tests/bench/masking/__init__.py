"""How well values are found, beside Microsoft Presidio on the same documents."""
