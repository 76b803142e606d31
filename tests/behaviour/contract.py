"""The SDK contract, line by line, in our words: which behaviour shows each, by section.

A line about what is said at import or about a process names the test that shows it instead (`path::test`); one that is
otherwise here on purpose names the page that says so. `test_contract.py` checks that all of them exist.
"""

from collections.abc import Mapping

API = "tests/integration/api/"
COMPAT = "tests/compat/scenarios/"
OTHERWISE = "docs/reference/compatibility.md#in-the-sdk"
DEFINITION = "tests/unit/levante/definition/"
WORKER = "tests/unit/levante/worker/"
DEFINE = DEFINITION + "test_definitions.py::test_define_when_an_option_is_wrong_then_the_import_fails"
CLASSES = DEFINITION + "test_definitions.py::test_define_when_the_class_cannot_work_then_the_import_fails"
SPEC = DEFINITION + "test_definitions.py::test_definition_when_described_then_the_spec_carries_everything"
OPTIONS = (
    DEFINITION + "test_activity_decorator.py::test_options_when_left_out_then_they_are_those_of_the_contract_or_the_workers"
)
FUNCTIONS = DEFINITION + "test_activity_decorator.py::test_activity_when_the_function_cannot_be_one_then_the_import_fails"
WRONG_OPTIONS = DEFINITION + "test_activity_decorator.py::test_activity_when_an_option_is_wrong_then_the_import_fails"
MAPPING = DEFINITION + "test_mapping.py::test_"
CLI_WORKER = "tests/unit/levante/cli/test_cli_worker.py::test_"
CLI_SETTINGS = "tests/unit/levante/cli/test_cli_refusals.py::test_settings_"
FAILURES = "tests/unit/levante/test_errors.py::test_"
TALK = "tests/unit/levante/test_conversational.py::test_"
PROVIDERS = DEFINITION + "test_dependencies.py::test_"
PARALLEL = "tests/integration/test_parallel.py::test_"
STICKY = "tests/integration/test_sticky_sessions.py::test_"
ENCODED = "tests/integration/test_encoded_payloads.py::test_"
GUARD = "tests/unit/levante/replay/test_guard.py::test_"
SIZES = "tests/integration/test_history_size.py::test_"
PUBLISHING = "tests/unit/levante/worker/test_publishing.py::test_"
WORKING = API + "test_workers.py::test_"
EXECUTIONS = API + "test_executions.py::test_"
ROUTING = "tests/unit/core/domain/catalogue/test_routing.py::test_"
RANDOM = "tests/behaviour/test_random_programs.py::test_"
DOCS = "tests/repository/test_docs.py::test_"
LIVES = "tests/integration/test_dependencies.py::test_"
ACCESS = "tests/e2e/test_access.py::test_"
STEPS = "tests/unit/core/domain/history/test_transitions.py::test_"
TRACES = "tests/integration/test_traces.py::test_"
TASK_TESTS = "tests/integration/test_tasks.py::test_"
SCENARIOS = "tests/integration/test_scenarios.py::test_"
DETACHED = "tests/behaviour/test_detached.py::test_"
TIMES = "tests/unit/core/domain/schedules/test_times.py::test_"
OVERLAPS = "tests/unit/core/services/schedules/test_schedule_overlaps.py::test_"
SCHEDULES = "tests/unit/core/services/schedules/test_schedules.py::test_"
E2E = "tests/e2e/test_crashes.py::test_"
KIT = "tests/integration/test_testing_kit.py::test_"
CODEC = "tests/unit/levante/encoding/test_codec.py::test_"

DEFINITIONS: Mapping[str, str] = {
    "name: form and reserved names": DEFINE,
    "name: the prefix of the environment": CLI_WORKER + "workflow_names_when_there_is_a_prefix_then_all_have_it",
    "display name and description": SPEC,
    "schedules in code": "a schedule declared in code",
    "is_technical": COMPAT + "interactive.py::test_technical_workflow_when_looked_up_then_it_is_marked_as_such",
    "enforce_determinism of a workflow": "no guard for a workflow",
    "enforce_determinism of a worker": "no guard for a worker",
    "execution_timeout": "execution timeout",
    "execution_timeout: later runs included": "one timeout for all runs",
    "on_behalf_of": OTHERWISE,
    "search_keys from the input": "search keys",
    "search_keys: checked at import": DEFINE,
    "a class with one entrypoint": CLASSES,
    "schemas and handlers in the registration": SPEC,
    "one model is the input itself": "one model",
    "several parameters, with defaults": "several parameters",
    "unions of models": "inputs of several shapes",
    "unions with other types": MAPPING + "handler_input_when_it_could_never_be_bound_then_it_is_refused_at_definition",
    "what is no model, in a RootModel": "a model of something else",
    "extra fields are refused": "starts that cannot be",
    "**kwargs of handlers": "whatever is sent",
    "**kwargs of entrypoints": MAPPING + "handler_input_when_kwargs_are_not_allowed_then_it_is_refused_at_definition",
    "result: a model": "one model",
    "result: None": "nothing",
    "result: anything else": "concurrency",
    "result: one that does not fit": "a result of another type",
    "signals: sync and async": "messages",
    "signals: an input that does not fit": "messages that cannot be",
    "queries: plain, annotated, and never async": CLASSES,
    "queries: must not change anything": "answers of handlers",
    "queries: primitives are not wrapped": "messages",
    "updates: may change state, run activities and wait": "answers of handlers",
    "updates and signals that are sent again": "messages that are sent again",
    "reserved handler names": CLASSES,
}
ACTIVITIES: Mapping[str, str] = {
    "start_to_close_timeout": "start-to-close timeout",
    "start_to_close_timeout: five minutes": OPTIONS,
    "schedule_to_close_timeout, one of ours": "schedule-to-close timeout",
    "three attempts where nothing else is said": "three attempts where nothing else is said",
    "retries until it works": "retried until it works",
    "back-off: coefficient and cap": "pauses between attempts grow to a hundred seconds",
    "options that cannot be": WRONG_OPTIONS,
    "name, and the reserved prefix": WRONG_OPTIONS,
    "sticky_to_worker: in a session only": "sticky sessions",
    "rate_limit": "limits of rate",
    "heartbeat_timeout, and details for the next attempt": "heartbeat timeout, and details for the next attempt",
    "functions of modules only": FUNCTIONS,
    "called in a workflow": "activities of every kind",
    "called in an activity": "activities within activities",
    "called anywhere else": OTHERWISE,
    "arguments are checked": "arguments that do not fit",
    "results are checked": "a result that does not fit",
    "results that are no JSON": "a result that is no JSON",
    "models come back as themselves": "one model",
    "**kwargs of activities": "whatever is sent",
    "success is recorded once": RANDOM + "program_when_workers_die_at_random_then_it_ends_as_if_none_had",
    "an attempt whose worker is lost": "a lost worker is a failed attempt",
}
PRIMITIVES: Mapping[str, str] = {
    "now, uuid4, random": "chance is recorded",
    "sleep and asyncio.sleep": "timers and conditions",
    "sleep: years": "a timer of a year",
    "wait_condition and its timeout": "timers and conditions",
    "add_search_keys and delete_search_keys": "search keys",
    "search keys: how many": "too many search keys",
    "search keys: their form": "a search key that cannot be",
    "unsafe.imports_passed_through, skip_determinism_enforcement": "no guard for some lines",
    "get_execution_id": "ids of children, and whose they are",
    "primitives outside of a workflow": DEFINITION
    + "test_primitives.py::test_primitives_when_outside_a_workflow_then_they_say_so",
    "gather, TaskGroup, wait": "concurrency",
    "all other tools of asyncio": "locks, semaphores, queues, barriers, shields",
    "how much may be pending": OTHERWISE,
    "execute_workflow: waits for the result": "children",
    "execution_timeout of a child: its own": "a child's own timeout",
    "execution_timeout of a child: its parent's": "a child's timeout from its parent",
    "execution_timeout of a child: negative": "a child's timeout that is negative",
    "execution_timeout of a child: nothing": "a child's timeout that is nothing",
    "execution_id of a child": "ids of children, and whose they are",
    "execution_id of a child: taken": "a child whose id is taken",
    "execution_id of a child: no id": "a child's id that cannot be",
    "wait=False: a handle": "handles of children",
    "handle: a signal that is not there": "a child's signal that it does not have",
    "parent_close_policy, and its default for those that are not awaited": "policies of parents",
    "parent_close_policy: the default for those that are awaited": "a child whose parent is terminated",
    "outside of a workflow: in this process": "without a server",
    "parent_ and root_ of events": "ids of children, and whose they are",
    "a child that fails, caught": "children",
    "a child that fails, not caught": "a child's failure that nobody catches",
    "a child that is terminated": "a child that is terminated",
    "a child that nobody serves": "a child that nobody serves",
    "a child that is no workflow": "a child that is no workflow",
    "a child's input that does not fit": "an input of a child that does not fit",
    "starts of children are metered": OTHERWISE,
    "continue_as_new: same execution, new run": "runs that follow one another",
    "continue_as_new: what was sent and not taken": "continue-as-new with unread messages",
    "continue_as_new: in handlers": "handlers that continue as new",
    "continue_as_new: a wrong input": "a new run with a wrong input",
    "should_continue_as_new": "advice to continue as new",
    "in parallel: a list": "many at once: list",
    "in parallel: a chain": "many at once: chain",
    "in parallel: places": "many at once: places",
    "in parallel: order, and None": "many at once: nothing comes back of one",
    "in parallel: a failure": "many at once: one fails",
    "in parallel: items are checked first": "many at once: one does not fit",
    "in parallel: how many at once": PARALLEL + "list_when_it_is_limited_then_no_more_run_at_once",
    "in parallel: groups of places": PARALLEL + "offsets_when_grouped_then_the_first_run_alone_and_others_in_groups",
    "in parallel: it continues as new": PARALLEL + "parallel_execution_when_its_history_grows_then_it_goes_on_as_new",
    "run_activities_locally": "activities in the worker of the workflow",
    "sticky sessions: nested, and passed on": "sticky sessions",
    "sticky sessions: the worker is lost": STICKY
    + "session_when_its_worker_dies_then_the_activity_fails_and_another_session_goes_on",
    "rate limits with a key are shared": "limits of rate",
}
DETERMINISM: Mapping[str, str] = {
    "the clock is refused": "the clock in workflow code",
    "chance is refused": "chance in workflow code",
    "all that is refused, with what to use": GUARD
    + "call_when_it_differs_on_replay_then_the_error_names_it_its_line_and_what_to_use_instead",
    "two seconds between awaits": "code that does not wait",
    "changed code blocks until it fits": "changed code",
    "patched and deprecate_patch": "patches",
    "changes in place under open executions": "a change in place",
    "order of as_completed": "order: as completed",
    "order of wait, over groups": "order: wait for groups",
    "order of wait, over tasks": "order: wait for tasks",
    "order of a group that is cancelled": "order: a group is cancelled",
    "async generators": "generators that are left",
    "garbage": "tasks that nobody refers to",
    "context variables": "context variables",
    "timers without an end, and none early": "timers without an end",
    "queries change nothing": "a query that draws random numbers",
    "conditions hold on return": "two wait for one condition",
    "predicates raise where they are waited for": "a predicate that raises",
    "updates whose work is cancelled": "an update whose work is cancelled",
    "continue_as_new in a group": "continue-as-new from group",
    "continue_as_new in the background": "continue-as-new from background",
    "continue_as_new in a gather": "continue-as-new from gather",
    "continue_as_new in a task": "continue-as-new from a task that is waited for",
    "the last turn counts: return": "a child cancelled at the end: return",
    "the last turn counts: raise": "a child cancelled at the end: raise",
    "the last turn counts: finally": "a child cancelled at the end: finally",
    "the last turn counts: continue-as-new": "a child cancelled at the end: renewed",
    "the last turn counts: a group": "a child cancelled at the end: group",
    "handlers that have not returned": "handlers that have not returned",
    "all_handlers_finished": "handlers that are waited for",
    "cancellation waits: in place": "cancelled and waited for in place",
    "cancellation waits: not begun, in place": "cancelled and waited for at once, in place",
    "cancellation waits: done all the same in place": "cancelled, and done all the same in place",
    "cancellation waits: from the queue": "cancelled and waited for from the queue",
    "cancellation waits: not begun, from the queue": "cancelled and waited for at once, from the queue",
    "cancellation waits: done all the same from the queue": "cancelled, and done all the same from the queue",
    "cancellation waits: between attempts": "cancelled between attempts",
    "cancellation waits: an error": "cancelled, and failing",
    "cancellation waits: asyncio.timeout": "a timeout waits for what it cancels",
    "cancellation waits: wait_for": "wait_for waits for what it cancels",
    "cancellation waits: gather": "a gather waits for what it cancels",
    "cancellation waits: TaskGroup": "a group waits for what it cancels",
    "cancellation waits: a child": "a child that is waited for by a task",
    "cancellation waits: a child, at once": "a child that is cancelled at once, and waited for",
    "cancellation waits: a handle": "a child that is waited for by its handle",
    "cancellation waits: a child does not give in": "a child that does not give in",
    "cancellation waits: the execution": "an execution that waits for what it cancels",
    "cancellation waits: in parallel": "many that are waited for",
    "cancellation abandons: an activity": "an activity that is abandoned",
    "cancellation abandons: a child": "a child that is abandoned",
    "cancellation abandons: a child, then asks it": "a child that is abandoned, then cancelled",
    "cancellation: before it began": "cancelled before it began",
}
ERRORS: Mapping[str, str] = {
    "a bug ends nothing": "a bug",
    "a bug, and an end all the same": "a bug, and an end",
    "sys.exit is a bug, too": "code that ends its process",
    "sys.exit in an activity fails the attempt": "an activity that ends its process",
    "sys.exit in an async activity fails it, too": "an async activity that ends its process",
    "a bug in a handler": "a signal whose handler has a bug",
    "a timeout that nobody catches fails the execution": "a timeout that nobody catches",
    "DANGEROUSLY_FORCE_FAIL_WORKFLOW_ON_ERROR": "bugs that end executions, where that is wanted",
    "WorkflowError fails the execution": "failure on purpose",
    "WorkflowError of a handler": "a signal that fails the execution",
    "ActivityError that nobody catches": "an activity's failure that nobody catches",
    "groups of errors": "a group of failures that nobody catches",
    "ActivityError: attempts and causes": "causes of failures",
    "non_retryable": "not retried",
    "WorkflowsException as JSON": FAILURES + "workflows_exception_when_written_then_it_has_the_shape_of_the_contract",
    "codes of errors": DOCS + "codes_of_the_sdk_when_listed_then_each_is_there_and_the_row_of_unused_ones_is_right",
    "cancellation: gives in": "cancelled, and gives in",
    "cancellation: goes on": "cancelled, and goes on",
    "cancellation: its event": "cancelled, and published",
    "terminate: no code runs": "terminated",
}
PEOPLE: Mapping[str, str] = {
    "wait_for_input": "people are asked",
    "several at once; ids, labels, search key, custom task": "several people are asked",
    "an unknown task, and what does not fit": "several people are asked",
    "timeout": "people say nothing",
    "cancellation": "people are not waited for any more",
    "forms, confirmations, chats, canvases, to-do lists": "forms, confirmations and chats",
    "working task and tool states": TALK + "working_task_when_it_carries_a_tool_then_the_state_says_which",
}
TASKS: Mapping[str, str] = {
    "in workflow code; patches, append, id, type, state": "custom tasks of workflow code",
    "in activities": "custom tasks of activities",
    "failed, and raised again": "custom tasks of activities that fail",
    "told before the outcome, however often it fails": PUBLISHING
    + "publisher_when_the_api_fails_then_the_work_goes_on_and_later_events_are_sent",
    "the stream's name is the type": TASK_TESTS + "tasks_when_code_tells_of_them_then_the_stream_has_every_step",
}
PAYLOADS: Mapping[str, str] = {
    "2 MB: the input of an execution, or a message": "starts that cannot be",
    "2 MB: the result of a workflow": "a result that is too large",
    "2 MB: the input of an activity": "an input of an activity that is too large",
    "2 MB: the result of an activity": "a result of an activity that is too large",
    "2 MB: the input of a child": "an input of a child that is too large",
    "whole: values of all types, to activities and children and back": "values arrive whole",
    "whole: the input of the next run": "values go on as new",
    "whole: a secret as a result": "a secret as a result",
    "whole: a derived model as a result": "a derived model as a result",
    "whole: a derived model as a result of an activity": "a derived model as a result of an activity",
    "whole: NaN as a result": "NaN as a result",
    "whole: NaN as a result of an activity": "NaN as a result of an activity",
    "whole: NaN as an input of a child": "NaN as an input of a child",
    "whole: an infinity as an input of the next run": "an infinity as an input of the next run",
    "whole: a detail of a heartbeat": "an infinite detail of a heartbeat",
    "whole: a member of a union": "a set where a list is possible",
    "whole: a tuple as any value": "a tuple where anything is possible",
    "whole: a time as any value": "a time where anything is possible",
    "encrypted, compressed, offloaded, and fields": "encoded, in and out",
    "order of encodings": CODEC + "options_when_all_is_done_then_they_are_listed_in_the_order_of_doing",
    "rotation of keys": CODEC + "payload_when_keys_rotate_then_old_and_new_ones_are_read",
    "partial encryption": ENCODED + "payloads_when_encoded_then_code_sees_plain_values_and_the_service_does_not",
}
DEPENDENCIES: Mapping[str, str] = {
    "providers of every kind": "providers of every kind",
    "made once, and shared": "what is provided is shared",
    "torn down": PROVIDERS + "provider_when_of_any_kind_then_its_value_is_given_and_torn_down",
    "at the start and the end of a worker": LIVES
    + "worker_when_it_serves_then_all_activities_share_what_was_made_at_its_start",
    "not part of the input": PROVIDERS + "input_when_read_and_written_then_dependencies_are_no_part_of_it",
}
WORKERS: Mapping[str, str] = {
    "settings, and which are needed": CLI_WORKER + "worker_when_a_setting_is_wrong_then_the_error_names_it",
    "names of the vendor's variables": CLI_SETTINGS + "when_only_the_vendor_s_names_are_set_then_they_work",
    "whoami": WORKING + "whoami_when_asked_then_namespace_is_the_workspace_of_the_key",
    "registration, and again when the API asks": WORKING
    + "heartbeat_when_the_worker_is_unknown_then_it_is_asked_to_register",
    "401 ends it": ACCESS + "key_when_revoked_mid_run_then_its_worker_stops_cleanly_and_another_carries_on",
    "detach": DETACHED + "worker_when_detached_then_it_serves_until_the_program_that_started_it_ends",
    "all imported activities": DEFINITION
    + "test_primitives.py::test_discovery_when_a_function_is_imported_twice_then_it_is_one_activity",
    "workflows of a package": DEFINITION
    + "test_discovery.py::test_package_when_searched_then_its_workflows_are_found_and_no_others",
    "health": WORKER + "test_health.py::test_health_when_a_port_is_given_then_it_is_answered_until_the_worker_ends",
    "builds": "builds",
    "DEFAULT_ENFORCE_DETERMINISM": "no guard for a worker",
    "RETRY_POLICY_MAX_ATTEMPTS": "as many attempts as the worker is told",
    "MAX_CONCURRENT_ACTIVITIES": SCENARIOS + "fan_when_wider_than_the_slots_then_all_results_arrive",
    "LOG_FORMAT": CLI_WORKER + "worker_log_when_json_is_wanted_then_each_line_is_an_object",
    "diagnosis and scaffolding": OTHERWISE,
}
LIFECYCLE: Mapping[str, str] = {
    "one execution, many runs, and how they are linked": "runs that follow one another",
    "no worker: it waits": "messages before there is a worker",
    "a worker dies: another carries on": E2E + "worker_killed_when_another_is_there_then_it_carries_on_at_once",
    "a worker is told to stop": E2E + "worker_stopped_politely_in_the_middle_then_another_carries_on_without_loss",
    "statuses and transitions": STEPS + "step_when_listed_then_it_leads_there_and_else_it_is_refused",
    "timed out": "execution timeout",
    "closed: messages": "messages that cannot be",
    "closed while an update waits": "an update that the end overtakes",
    "reset: from the middle and from the end": "reset, with signals that are kept",
    "reset: without signals and updates": "reset without any message",
    "reset: without updates": "reset without updates",
    "reset: an event that it cannot go on from": "resets that cannot be",
    "an id that is running": "starts that cannot be",
    "routing: one owner, several, a named one": ROUTING + "choose_when_several_are_active_then_the_caller_is_told_which",
    "routing: ambiguous": EXECUTIONS + "execute_when_several_deployments_serve_it_and_none_is_named_then_409_lists_them",
    "a warning at registration": WORKING + "register_when_another_active_deployment_serves_it_then_a_warning_names_it",
    "hardened deployments": "docs/reference/compatibility.md#differences-from-mistral-workflows",
    "how large a history may be": SIZES
    + "history_when_it_grows_without_end_then_the_log_warns_twice_and_the_execution_is_terminated",
    "an activity that is completed from outside, one of ours": "completed from outside",
}
SCHEDULE: Mapping[str, str] = {
    "made, run by hand, changed, paused, removed; overlap; schedule_id": "a schedule made by the API",
    "max_executions": "a schedule declared in code",
    "calendars": TIMES + "calendar_when_asked_for_its_times_then_every_field_matches",
    "calendars: defaults": TIMES + "calendar_when_fields_are_left_out_then_it_is_midnight_of_every_day",
    "intervals": TIMES + "interval_when_it_has_an_offset_then_it_counts_from_1970",
    "cron and several sources": TIMES + "times_when_several_sources_agree_then_they_are_one",
    "skip": TIMES + "skip_when_it_names_times_then_they_are_left_out",
    "start_at and end_at": TIMES + "limits_when_set_then_both_are_within",
    "time zones": TIMES + "time_when_the_clock_leaves_it_out_then_it_comes_at_the_change",
    "jitter": TIMES + "jitter_when_set_then_times_are_late_by_less_than_it_and_always_the_same",
    "overlap policies": OVERLAPS + "overlap_when_an_execution_is_still_open_then_the_policy_decides",
    "catch-up": SCHEDULES + "times_when_they_were_missed_then_they_are_caught_up_within_the_window",
    "pause_on_failure": OVERLAPS + "pause_on_failure_when_an_execution_fails_then_nothing_starts_until_resumed",
    "encoded inputs": ENCODED + "schedule_when_code_declares_it_then_its_input_is_encoded_and_workers_agree_on_it",
}
TESTING: Mapping[str, str] = {
    "in memory, time is skipped": KIT + "environment_when_a_workflow_takes_a_year_then_the_test_does_not",
    "the pytest plugin": KIT + "plugin_when_a_test_is_marked_then_it_runs_in_virtual_time",
    "mocks": KIT + "mock_when_there_is_no_such_activity_then_the_error_lists_them",
    "without a server": "without a server",
}
OBSERVABILITY: Mapping[str, str] = {
    "spans and their attributes": TRACES + "trace_when_attempts_fail_then_each_has_a_span_from_when_it_was_due",
    "the caller's trace is joined": COMPAT
    + "traces.py::test_trace_when_the_caller_is_traced_then_the_execution_joins_that_trace",
    "logs": COMPAT + "logs.py::test_logs_when_code_logs_then_its_lines_are_found_by_execution",
}
PLUGINS: Mapping[str, str] = {
    "plugins of the vendor's SDK": OTHERWISE,
    "extensions of an execution": COMPAT + "starting.py::test_execute_workflow_when_every_option_is_used_then_it_runs",
}
CONTRACT: Mapping[str, Mapping[str, str]] = {
    "1. Decorators: workflows": DEFINITIONS,
    "1. Decorators: activities": ACTIVITIES,
    "2. In-workflow primitives": PRIMITIVES,
    "3. Determinism": DETERMINISM,
    "4. Errors": ERRORS,
    "5. Interactive workflows": PEOPLE,
    "6. Streaming from code": TASKS,
    "7. Payloads": PAYLOADS,
    "8. Dependency injection": DEPENDENCIES,
    "9. Worker": WORKERS,
    "10. Lifecycle": LIFECYCLE,
    "11. Schedules": SCHEDULE,
    "12. Testing utilities": TESTING,
    "13. Observability": OBSERVABILITY,
    "14. Plugins": PLUGINS,
}
