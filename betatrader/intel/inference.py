"""ONNX sessions on one thread and without the memory arena, warmed before they count as ready."""

from pathlib import Path

import numpy as np
import onnxruntime

from betatrader.intel.repository import ModelEntry
from betatrader.model.errors import UsageError


class Model:
    """One loaded model: features in, numbers out. `answer` blocks; call it off the event loop."""

    def __init__(self, entry: ModelEntry, folder: Path, threads: int) -> None:
        self.entry = entry
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / entry.file), _options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own classes are not public
            raise UsageError(
                f"{folder / entry.file}: onnxruntime cannot load it ({error})\n"
                "Train the models again with this version."
            ) from error
        for size in (1, 8):
            self.answer([(0.5,) * entry.width] * size)

    def answer(self, rows: list[tuple[float, ...]]) -> list[float]:
        """One number a row; raises ValueError where the model answers what is no number."""
        found = self._session.run(None, {"features": np.asarray(rows, dtype=np.float32)})[0]
        numbers = np.asarray(found, dtype=np.float64).reshape(-1)
        if numbers.shape != (len(rows),) or not np.isfinite(numbers).all():
            raise ValueError(f"model {self.entry.name} answered {numbers!r}")
        return [float(number) for number in numbers]


def _options(threads: int) -> onnxruntime.SessionOptions:
    """An explicit thread count and no spinning: the library's defaults burn a shared CPU's quota,
    and its memory arena only grows."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options
