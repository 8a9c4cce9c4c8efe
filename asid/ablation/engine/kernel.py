"""Kernels that die with the process that started them, even if it is killed or they hold the interpreter's lock.

ipykernel itself only polls for the death of its parent, and does not recognise every adoption of an orphan
(https://github.com/ipython/ipykernel/issues/517). On Linux the operating system can send a signal instead. The public
hook for this is a kernel provisioner of jupyter_client, which also sets the environment of a kernel. A kernel's
specification names its provisioner, which is usually looked up among the entry points of packages. Here the factory is
given that entry point directly, so that installed packages and source trees behave identically.
"""

import ctypes
import os
import signal
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import EntryPoint
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner
from jupyter_core.paths import jupyter_path
from traitlets import Dict, List, Unicode, default

from asid.ablation.engine.forked import fork_kernel
from asid.ablation.engine.kernel_files import connection_files, kernel_variables

_PROVISIONER = "asid-tied-provisioner"
_PROCESSES: dict[str, int] = {}
"""Process ids of the kernels that this process has started, by run folder."""


def tied_kernel_manager(
    folder: str, environment: dict[str, str], modules: list[str] | None = None
) -> type[AsyncKernelManager]:
    """A class of kernel managers whose kernels die with this process.

    Args:
        folder: Folder of the run, by which :func:`kill_kernel` finds the kernel.
        environment: Variables that are added to the environment of this process.
        modules: What the kernel should have imported when it begins (:mod:`asid.ablation.engine.forked`).
    """
    factory = KernelProvisionerFactory.instance()
    factory.provisioners[_PROVISIONER] = EntryPoint(
        _PROVISIONER, f"{__name__}:TiedProvisioner", KernelProvisionerFactory.GROUP_NAME
    )
    config = {"folder": folder, "environment": environment, "modules": modules or []}
    stanza = {"provisioner_name": _PROVISIONER, "config": config}

    class Specs(KernelSpecManager):
        @default("kernel_dirs")
        def _without_ipython(self) -> list[str]:
            return jupyter_path("kernels")  # looking into IPython's folder makes it, in the user's home folder

        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            spec = super().get_kernel_spec(kernel_name)
            spec.metadata = {**spec.metadata, "kernel_provisioner": stanza}
            return spec

    class TiedKernelManager(AsyncKernelManager):
        @default("kernel_spec_manager")
        def _make_specs(self) -> KernelSpecManager:
            return Specs(parent=self)

        @default("connection_file")
        def _choose_file(self) -> str:
            return str(connection_files() / f"{uuid.uuid4().hex}.json")

    return TiedKernelManager


def kill_kernel(folder: str) -> bool:
    """Kill the kernel that this process has started for the run in ``folder``; returns whether there was one."""
    pid = _PROCESSES.get(folder)
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return True


def forget_kernel(folder: str) -> None:
    """The run in ``folder`` has ended: its process id may be reused."""
    _PROCESSES.pop(folder, None)


class TiedProvisioner(LocalProvisioner):
    """A kernel on this machine that is killed when the process that started it dies."""

    folder = Unicode()
    environment = Dict()
    modules = List(Unicode())

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Add the environment and, on Linux, the death signal."""
        kwargs["env"] = {**os.environ, **kwargs.get("env", {}), **kernel_variables(), **self.environment}
        if sys.platform.startswith("linux"):
            kwargs["preexec_fn"] = _death_signal()
        return await super().pre_launch(**kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start the kernel, and note its process id."""
        forked = fork_kernel(cmd, kwargs["env"], kwargs.get("cwd"), self.modules)
        if forked is not None:
            self.process, self.pid, self.pgid = forked, forked.pid, None
            connection = self.connection_info
        else:
            connection = await super().launch_kernel(cmd, **kwargs)
        if self.pid is not None:
            _PROCESSES[self.folder] = self.pid
        return connection


def _death_signal() -> Callable[[], None]:
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: afterwards only async-signal-safe calls are allowed

    def set_death_signal() -> None:
        prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

    return set_death_signal
