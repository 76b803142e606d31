import pytest
from pydantic import TypeAdapter, ValidationError

from levante_core.domain import names
from levante_core.domain.frozen import Frozen
from levante_core.domain.names import DeploymentName
from levante_core.domain.worker_pool import WorkerPool, worker_pool
from levante_core.errors import InvalidInput
from levante_core.protocol.names import Pool

POOLS = [
    ("d", WorkerPool(DeploymentName("d"))),
    ("a.b-C_9", WorkerPool(DeploymentName("a.b-C_9"))),
    ("d@v1.2", WorkerPool(DeploymentName("d"), "v1.2")),
    ("d~s", WorkerPool(DeploymentName("d"), None, "s")),
    ("d@v1~s-1.x", WorkerPool(DeploymentName("d"), "v1", "s-1.x")),
    ("d" * 128 + "@" + "b" * 64 + "~" + "s" * 256, WorkerPool(DeploymentName("d" * 128), "b" * 64, "s" * 256)),
]
NO_POOLS = [
    "",
    "@v",
    "~s",
    "d@",
    "d~",
    "d@v@v",
    "d~s~s",
    "d~s@v",
    "a b",
    "a/b",
    "a#b",
    "ä",
    "d\n",
    "d" * 129,
    "d@" + "b" * 65,
]
CHECKED: TypeAdapter[WorkerPool] = TypeAdapter(Pool)


class _Task(Frozen):
    pool: WorkerPool


@pytest.mark.parametrize(("text", "pool"), POOLS)
def test_pool_when_its_text_is_read_then_it_is_written_the_same(text: str, pool: WorkerPool) -> None:
    """A deployment, perhaps a build, perhaps a session: queues are named after the text, and items hold it."""
    assert worker_pool(text) == WorkerPool.parse(text) == pool
    assert str(pool) == text
    names.deployment_name(pool.deployment)


@pytest.mark.parametrize("text", NO_POOLS)
def test_pool_when_its_form_is_wrong_then_it_is_refused(text: str) -> None:
    """Whatever is not of this form is in no key and names no queue."""
    with pytest.raises(InvalidInput, match="name of a deployment"):
        worker_pool(text)
    with pytest.raises(ValidationError, match="name of a deployment"):
        CHECKED.validate_python(text)


@pytest.mark.parametrize(("text", "pool"), POOLS)
def test_pool_when_a_model_holds_it_then_it_travels_as_its_text(text: str, pool: WorkerPool) -> None:
    """What is sent and stored is the text that it was before there was a type."""
    task = _Task(pool=pool)
    assert (task.model_dump(), task.model_dump_json()) == ({"pool": text}, f'{{"pool":"{text}"}}')
    assert _Task.model_validate_json(task.model_dump_json()) == _Task.model_validate({"pool": text}) == task
    assert CHECKED.validate_python(text) == CHECKED.validate_python(pool) == pool
    assert _Task.model_json_schema()["properties"]["pool"]["type"] == "string"


@pytest.mark.parametrize("value", [None, 1, ["d"], {"deployment": "d"}])
def test_pool_when_a_model_is_given_no_text_then_it_says_that_it_wants_one(value: object) -> None:
    """One error, as for any other text."""
    for adapter in (CHECKED, TypeAdapter(WorkerPool)):
        with pytest.raises(ValidationError) as refused:
            adapter.validate_python(value)
        assert [problem["type"] for problem in refused.value.errors()] == ["string_type"]


def test_pool_when_others_of_its_deployment_are_asked_for_then_the_rest_stays() -> None:
    """A session is one worker of a pool; another build has no workers in common with it."""
    build, desk = WorkerPool.parse("d@b"), WorkerPool.parse("d@b~desk")
    assert build.for_session("desk") == desk
    assert build.for_session(None) == build
    assert desk.for_session("other") == WorkerPool.parse("d@b~other")
    assert desk.for_session(None) == desk
    assert (desk.without_session, build.without_session) == (build, build)
    assert desk.for_build("c") == WorkerPool.parse("d@c")
    assert desk.for_build(None) == WorkerPool.parse("d")
    assert len({build, desk, WorkerPool.parse("d@b")}) == 2
