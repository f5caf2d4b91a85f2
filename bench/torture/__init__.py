"""Random calls under random faults, with the promises that must hold through all of them."""
