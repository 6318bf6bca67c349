"""Does it matter how an image is cut? The same transformer trained with several tokenisations, over several seeds."""
