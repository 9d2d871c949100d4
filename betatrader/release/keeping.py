"""Secrets of the apps as they stand at fly: listed with what is wrong, and set."""

from collections.abc import Mapping
from typing import Any

from betatrader.model.errors import UsageError
from betatrader.model.secret import Secret
from betatrader.release import configuration, credentials
from betatrader.release.apps import apps_of, image
from betatrader.release.configuration import Files
from betatrader.release.releasing import Setup, survey


async def checked(setup: Setup) -> dict[str, Any]:
    """Every app's secrets, by name, and every problem."""
    files = await _files(setup)
    secrets, problems = [], []
    for role, app in apps_of(setup.settings.prefix, setup.settings.redis_app).items():
        found = await setup.fly.secrets(app)
        environment = configuration.environment(files, role)
        problems += credentials.problems(app, credentials.needs(role, environment), found)
        secrets += [{"app": app, "name": s.name, "status": s.status} for s in found]
    return {"secrets": secrets, "problems": problems}


async def stage(setup: Setup, role: str, given: Mapping[str, Secret]) -> str:
    """Set secrets of an app for its next deploy, and return its name; raises UsageError where one
    is not its own, or is a placeholder."""
    environment = {one: "[1]" for settings, _ in credentials.TRADED.values() for one in settings}
    told = credentials.refused(role, credentials.needs(role, environment), given)
    if told:
        raise UsageError("; ".join(told) + "\nNothing was set.")
    app = apps_of(setup.settings.prefix, setup.settings.redis_app).get(role)
    if app is None:
        raise UsageError("this setup has no Redis of its own at fly\nNothing was set.")
    await setup.fly.who()  # what is no fly may end well and have set nothing
    await setup.fly.stage(app, credentials.written(given))
    return app


async def _files(setup: Setup) -> Files:
    """The fly files of what runs; before the first release those of the checkout."""
    running = (await survey(setup))["trading"]
    if running:
        records = await setup.book.records()
        return configuration.of_image(image(running), setup.settings.project, records)
    return configuration.of_checkout(setup.settings.project)
