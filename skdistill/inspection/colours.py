"""Colours of pictures, which colour-blind readers can tell apart in light and dark."""

# Of Okabe and Ito's palette; all have a contrast of 3 to white and to a dark background.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C6D00", "#56809C")
NEUTRAL = "#767676"
