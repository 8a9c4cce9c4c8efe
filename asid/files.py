"""Names of the files and folders that trainings, runs and studies leave. In a module of its own: reading results needs no torch."""

# The folder of a training.
CONFIG = "config.json"
"""Its configuration."""
HISTORY = "history.csv"
"""The curves, a row a hundredth of the steps; also how somebody outside the process sees how far it is."""
WEIGHTS = "model.safetensors"
"""The trained network."""
CHECKPOINT = "training.ckpt"
"""The state from which an interrupted training goes on; gone when it is done."""

# The folder of a run, which is that of its training, too.
RECORD = "record.json"
"""All that was measured; written last."""
IMAGES = "images"
"""Folder of SR images, ``<data>/<image>.png``."""
NOTEBOOK = "run.ipynb"
"""The executed notebook."""
ERROR = "error.txt"
"""The error of a failed run, with its traceback."""
HEARTBEAT = "heartbeat.json"
"""Which process is at work on the run; touched while it lives, gone when it ended in order."""
LOCK = "run.lock"
"""Held by the process that trains and evaluates; the file stays."""

# The folder of a study.
STUDY = "study.json"
"""The question, the study as it was read, and the folder and identity of each run."""
GRID_LOCK = "grid.lock"
"""Held by the process that executes the study."""
SPEEDS = "speeds.json"
"""Measured seconds a step, from which ``minutes`` of training became steps."""
