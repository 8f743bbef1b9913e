from __future__ import annotations

import asyncio

import msgspec
import pytest
from eventually_kit import eventually

from tidegate.app import EMBEDDED, Tidegate
from tidegate.core.difference import Difference
from tidegate.providers.settings import OpenAIModel, PythonModel, ReplayModel
from tidegate.workers.changeover import Changeover
from tidegate.workers.messages import Message, Prepare, Prepared, Taken

pytestmark = pytest.mark.anyio


class Worker:
    """An application without models, and what its changeover tells the parent."""

    def __init__(self) -> None:
        self.app = Tidegate()
        self.told: list[Message] = []
        self.changeover = Changeover(self.app, self.told.append)

    def prepare(self, number: int, *models: ReplayModel | PythonModel) -> None:
        self.changeover.prepare(Prepare(number, msgspec.structs.replace(EMBEDDED, models=models)))

    @property
    def serves(self) -> list[str]:
        return list(self.app.service.models)


async def test_it_takes_over_in_two_steps() -> None:
    """The first changes nothing yet, however long the second takes to come."""
    worker = Worker()
    worker.prepare(7, ReplayModel(name="r"))
    await eventually(lambda: worker.told == [Prepared(7)])
    assert worker.serves == []
    worker.changeover.take()
    assert worker.serves == ["r"]
    assert isinstance(taken := worker.told[-1], Taken)
    assert taken.changes.models.added == ("r",)
    await worker.app.close()


async def test_what_it_cannot_take_it_says() -> None:
    """With the key of the setting, to which the parent adds where it stands; the next order may be a good one."""
    worker = Worker()
    worker.prepare(1, PythonModel(name="p", target="nomodule:x"))
    await eventually(lambda: worker.told)
    assert isinstance(reply := worker.told[0], Prepared)
    assert reply.failed is not None
    assert reply.failed.key == ("models", "p", "target")
    worker.prepare(2, ReplayModel(name="r"))
    await eventually(lambda: worker.told[1:] == [Prepared(2)])
    worker.changeover.take()
    assert worker.serves == ["r"]
    await worker.app.close()


async def test_the_keys_are_those_of_the_order() -> None:
    """Whatever has become of the file meanwhile; another key makes another model."""
    worker = Worker()
    model = OpenAIModel(name="o", base_url="http://127.0.0.1:9/v1", api_key_file="/nowhere")
    settings = msgspec.structs.replace(EMBEDDED, models=(model,))
    for number, key in enumerate(("sk-1", "sk-1", "sk-2")):
        worker.changeover.prepare(Prepare(number, settings, keys={"o": (key,)}))
        await eventually(lambda expected=number: worker.told[-1:] == [Prepared(expected)], within=60)
        worker.changeover.take()
    changes = [each.changes.models for each in worker.told if isinstance(each, Taken)]
    assert changes == [Difference(added=("o",)), Difference(), Difference(changed=("o",))]
    await worker.app.close()


async def test_only_the_last_order_counts() -> None:
    """One that was given up, or came before another, is forgotten, ready or not."""
    worker = Worker()
    worker.prepare(1, ReplayModel(name="a"))
    await eventually(lambda: worker.told == [Prepared(1)])
    worker.changeover.drop()
    worker.prepare(2, ReplayModel(name="b"))
    worker.prepare(3, ReplayModel(name="c"))
    await eventually(lambda: Prepared(3) in worker.told)
    await asyncio.sleep(0)
    assert Prepared(2) not in worker.told
    worker.changeover.take()
    assert worker.serves == ["c"]
    await worker.app.close()
