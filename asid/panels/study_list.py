"""The studies that a person can choose: study files with their profiles, and folders of studies."""

import os
from itertools import count
from pathlib import Path

from asid.ablation.engine.heartbeat import is_alive
from asid.ablation.report.results import ReportError
from asid.ablation.report.studies import find_studies, latest_study
from asid.ablation.study.study import PROFILES_FILE, list_profiles

StudyFile = tuple[Path, str | None]
"""A study file, and the profile to apply."""


class StudyList:
    """What there is in two folders, by names that are paths from the folder around the results.

    Args:
        studies: Folder of study files.
        results: Folder of studies, and of study files that were made here.
    """

    def __init__(self, studies: Path, results: Path) -> None:
        self.results, self.root = results, results.parent
        self._folders = (studies, results)

    def name(self, path: Path) -> str:
        """A path as it is shown, and as commands that run in :attr:`root` have it."""
        return Path(os.path.relpath(path, self.root)).as_posix()

    def files(self) -> dict[str, StudyFile]:
        """The study files and their profiles by name."""
        files: dict[str, StudyFile] = {}
        for folder in self._folders:
            for path in sorted(folder.glob("*.yaml")):
                if path.name != PROFILES_FILE:
                    profiles = list_profiles(path)
                    files |= {f"{self.name(path)}, {profile}": (path, profile) for profile in profiles}
                    files |= {} if profiles else {self.name(path): (path, None)}
        return files

    def folders(self) -> dict[str, Path]:
        """The folders of studies by name."""
        try:
            return {self.name(folder): folder for folder in find_studies(self.results).values()}
        except ReportError:
            return {}

    def names(self) -> list[str]:
        """The names of all folders and files, folders first."""
        return [*self.folders(), *self.files()]

    def first(self) -> str:
        """The study that runs, else the latest one with results, else the first file."""
        try:
            found = find_studies(self.results)
        except ReportError:
            return next(iter(self.files()), "")
        running = next((folder for folder in found.values() if is_alive(folder)), None)
        return self.name(running or found[latest_study(found)])

    def new_name(self) -> str:
        """A name that no study here has."""
        names = ("my-study" if number == 1 else f"my-study-{number}" for number in count(1))
        return next(
            name for name in names if not any((self.results / f"{name}{end}").exists() for end in ("", ".yaml"))
        )
