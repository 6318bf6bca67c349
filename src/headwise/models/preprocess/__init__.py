"""From images, texts and sound to the arrays that loaded models are called with, as their folders describe it."""
