"""Results as pictures, by matplotlib: the only package that imports it, and only when something is drawn."""
