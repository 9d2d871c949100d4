"""The intel role: loads its models, then answers forecast requests from the bus."""

from functools import partial

from anyio import to_thread

from betatrader.intel import repository
from betatrader.intel.forecaster import Forecaster
from betatrader.intel.inference import Model
from betatrader.roles.service import Service

SLOT = "intel-0"
"""The consumer's name is a stable slot: a random one would leave dead consumers behind."""


async def serve(service: Service) -> None:
    """Run until the service stops; raises UsageError where the models cannot be used."""
    settings = service.config.intel
    folder = repository.folder(settings.models)
    manifest = repository.load(folder)
    models = [
        await to_thread.run_sync(partial(Model, entry, folder, settings.threads))
        for entry in manifest.models
    ]
    forecaster = Forecaster(service.redis, service.new_blocking(), models, SLOT)
    await forecaster.join()
    service.ready()
    await forecaster.run(service.is_stopping)
