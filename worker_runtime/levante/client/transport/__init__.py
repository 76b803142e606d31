"""How the steps of the client are carried out over HTTP, by httpx."""
