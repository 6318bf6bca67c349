"""The live pages: a server on this machine alone, whose every answer is computed by the library."""
