"""The limit as equations in bra-ket notation: `nexort derive`."""
