"""The intel role: loads its models, then answers forecast requests from the bus."""

import os
from functools import partial

from anyio import to_thread

from betatrader.config import Intel
from betatrader.intel import repository
from betatrader.intel.forecaster import Forecaster
from betatrader.intel.inference import Model
from betatrader.roles.service import Service


def slot(settings: Intel) -> str:
    """This process's name in the group: of two with one name each would take the other's unfinished
    work for its own. It stays the same at the next start."""
    return settings.slot or os.environ.get("FLY_MACHINE_ID") or os.uname().nodename


async def serve(service: Service) -> None:
    """Run until the service stops; raises UsageError where the models cannot be used."""
    settings = service.config.intel
    folder = repository.folder(settings.models)
    manifest = repository.load(folder)
    models = [
        await to_thread.run_sync(partial(Model, entry, folder, settings.threads))
        for entry in manifest.models
    ]
    forecaster = Forecaster(
        service.redis, service.new_blocking(), models, slot(settings), service.schema
    )
    await forecaster.join()
    service.ready()
    await forecaster.run(service.is_stopping)
