"""The torch modules behind the fusion methods; importing them imports torch."""
