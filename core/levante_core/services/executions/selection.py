"""Selecting runs by what callers say of them: criteria become a filter, which looks up what runs themselves do not tell."""

from collections.abc import Callable
from functools import cache

from levante_core.domain.executions.criteria import RunCriteria, possible
from levante_core.domain.names import WorkflowName, Workspace
from levante_core.services.catalogue.register import CatalogueService
from levante_core.services.executions.blockers import Blockers, BlockerService
from levante_core.services.executions.run_filter import RunFilter, key_filter
from levante_core.services.paging import Budget
from levante_core.storage.runs import RunSummary

READS_OF_A_RUN = 4
"""What finding out about the blockers of an open run counts for."""


class SelectionService:
    """Makes the filters of listings and of batch jobs."""

    def __init__(self, catalogue: CatalogueService, blockers: BlockerService) -> None:
        self._catalogue = catalogue
        self._blockers = blockers

    def filter_of(
        self, workspace: Workspace, criteria: RunCriteria, budget: Budget, blockers: Blockers | None = None
    ) -> RunFilter:
        """Return what runs have to be like, but for their workflow, which the query names.

        budget: is spent on what is looked up. blockers: has looked at some of the runs, or will.
        """
        statuses = possible(criteria.status)
        if statuses == set():
            return RunFilter(is_workflow_wanted=lambda _: False)
        is_blocked = _is_blocked(blockers or self._blockers.finder(), budget)
        return RunFilter(
            statuses=statuses or set(),
            deployment_name=criteria.deployment_name,
            root_execution_id=criteria.root_execution_id,
            search=criteria.search,
            user_id=criteria.user_id,
            started_after=criteria.start_time_after,
            started_before=criteria.start_time_before,
            ended_after=criteria.end_time_after,
            ended_before=criteria.end_time_before,
            search_keys=tuple(map(key_filter, criteria.search_key or ())),
            is_workflow_wanted=self._workflow_filter(workspace, criteria, budget),
            is_run_wanted=is_blocked if criteria.is_blocked else None,
        )

    def _workflow_filter(self, workspace: Workspace, criteria: RunCriteria, budget: Budget) -> Callable[[str], bool] | None:
        """Return what asks each workflow once, if the criteria have to know more of workflows than their names."""
        tags = set(criteria.workflow_tags or ())
        if criteria.include_internal and not tags:
            return None

        @cache
        def is_wanted(name: str) -> bool:
            budget.spend()
            workflow = self._catalogue.find_workflow(workspace, WorkflowName(name))
            if workflow is None:
                return not tags
            return (criteria.include_internal or not workflow.is_technical) and tags <= set(workflow.tags)

        return is_wanted


def _is_blocked(blockers: Blockers, budget: Budget) -> Callable[[RunSummary], bool]:
    def is_wanted(run: RunSummary) -> bool:
        budget.spend(READS_OF_A_RUN if run.is_open else 0)
        return bool(blockers.of(run))

    return is_wanted
