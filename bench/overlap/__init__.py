"""How an answer is interrupted, and what must not interrupt it: a labelled set, and a live server that hears it."""
