"""How a function wants to be called: what its signature allows, and then what works."""
