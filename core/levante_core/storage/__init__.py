"""How domain records become items: key design and codecs, above the item store's port, in one place."""
