"""Examples of bodies, by the name of the operation. A test sends each of them."""

from collections.abc import Mapping

from levante_core.domain.frozen import Json

_INPUT: Mapping[str, Json] = {"order": "kite", "cents": 1200}

BODIES: Mapping[str, Json] = {
    "execute_workflow": {"input": _INPUT, "execution_id": "order-4711", "wait_for_result": False},
    "execute_workflow_registration": {"input": _INPUT},
    "signal_workflow_execution": {"name": "approve", "input": {"by": "Ada"}},
    "query_workflow_execution": {"name": "progress", "input": None},
    "update_workflow_execution": {"name": "set_address", "input": {"street": "Rue de Rivoli 1"}},
    "batch_cancel_workflow_executions": {"execution_ids": ["order-4711", "order-4712"]},
    "batch_terminate_workflow_executions": {"execution_ids": ["order-4711", "order-4712"]},
    "reset_workflow": {"event_id": 4, "reason": "the address was wrong", "exclude_signals": False, "exclude_updates": False},
    "fork": {"event_id": 4, "execution_id": "order-4711-what-if", "reason": "what if the card had been refused"},
    "rerun": {"execution_id": "order-4711-again", "input": _INPUT},
    "pause_workflow_execution": {"reason": "the bank is away until ten"},
    "resume_workflow_execution": {"reason": "the bank is back"},
    "preview_batch": {"filter": {"workflow_identifier": "checkout", "status": ["FAILED"]}},
    "start_batch": {
        "batch_id": "checkout-after-the-outage",
        "filter": {"workflow_identifier": "checkout", "status": ["FAILED"], "start_time_after": "2026-01-31T09:30:00Z"},
        "action": {"kind": "reset", "to": "last"},
        "reason": "the bank answers again",
    },
    "retry_activity": {"reason": "the bank answers again"},
    "complete_activity_by_hand": {"result": {"payment": "p-1"}, "reason": "the bank said by telephone that it has paid"},
    "fail_activity_by_hand": {"message": "the card was reported as stolen", "type": "CardStolen"},
    "skip_timer": {"reason": "the customer need not wait"},
    "complete_child": {"result": {"result": "delivered"}},
    "fail_child": {"message": "the parcel was lost"},
    "schedule_workflow": {
        "workflow_identifier": "checkout",
        "schedule": {
            "input": _INPUT,
            "schedule_id": "every-morning",
            "cron_expressions": ["30 9 * * MON-FRI"],
            "time_zone_name": "Europe/Paris",
            "policy": {"overlap": 1},
        },
    },
    "update_schedule": {"schedule": {"intervals": [{"every": "PT15M"}]}},
    "pause_schedule": {"note": "until the stock is counted"},
    "resume_schedule": {"note": "the stock is counted"},
    "trigger_schedule": {"overlap": 6},
    "update_workflow": {"display_name": "Checkout", "description": "Takes orders.", "tags": ["shop"]},
    "add_workflow_tags": {"tags": ["shop", "payments"]},
    "bulk_archive_workflows": {"workflow_ids": ["checkout"]},
    "bulk_unarchive_workflows": {"workflow_ids": ["checkout"]},
    "complete_activity": {"task_token": "eyJleGVjdXRpb25faWQiOi...", "result": {"approved": True}},
    "fail_activity": {"task_token": "eyJleGVjdXRpb25faWQiOi...", "message": "the bank said no", "non_retryable": True},
    "heartbeat_activity": {"task_token": "eyJleGVjdXRpb25faWQiOi...", "details": [{"done": 3}]},
    "create_key": {"name": "shop", "role": "worker", "deployments": ["shop"]},
    "redrive": {},
    "retry_all_parked": {},
}
