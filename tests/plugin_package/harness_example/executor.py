"""An executor with a setting: processes of this machine, with a variable set in each."""

from dataclasses import replace

from pydantic import BaseModel, Field

from evals.base.registry import takes
from harness.config import Sweep
from harness.sweep.executors.local import LocalExecutor, LocalProcess
from harness.sweep.executors.registry import Launch


class Settings(BaseModel):
    nice: str = Field("10", description="What EXAMPLE_NICE is in each attempt's environment.")


class OneByOne(LocalExecutor):
    def __init__(self, nice: str) -> None:
        super().__init__(slots=1)
        self._nice = nice

    def launch(self, launch: Launch) -> LocalProcess:
        environment = {**launch.environment, "EXAMPLE_NICE": self._nice}
        return super().launch(replace(launch, environment=environment))


@takes(Settings)
def one_by_one(sweep: Sweep, settings: Settings) -> OneByOne:
    return OneByOne(settings.nice)
