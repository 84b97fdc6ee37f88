"""Seeded generators of everything the model is trained and tested on."""
