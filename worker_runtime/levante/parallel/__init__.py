"""One activity for many items."""

from levante.parallel.calling import ExtraItemParams, GetItemFromIndexParams, execute_activities_in_parallel

__all__ = ["ExtraItemParams", "GetItemFromIndexParams", "execute_activities_in_parallel"]
