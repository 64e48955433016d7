"""Fetching earlier chest images from the PACS: of a patient who is first seen, and of days gone by."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import encode

from archive import priors
from archive.database import Database
from archive.priors import Tries, Wanted
from archive.queries import note_query
from archive.resolution import judge_anew
from archive.states import SearchState
from config.errors import LungprintError
from config.paths import DataDir
from config.settings import Settings
from dicom_node.query import FoundSeries, FoundStudy, chest_series, has_modality, studies_of, studies_on
from dicom_node.retrieve import Pacs, RetrieveFailed, Throttle, pacs
from dicom_node.spool import Spool
from dicom_node.storage import Storage

logger = logging.getLogger(__name__)

_MIB = 1 << 20
_DAYS_A_YEAR = 365.25


class PriorRetrieval:
    """Asks the PACS for earlier images and has them sent.

    Every step is noted in the database before and after: a retrieval that is stopped or killed goes on with the series
    that it had not completed. Images are taken in as any other; that their series was asked for makes them history.

    Args:
        announce: called with the id of each image that a C-GET brought; see `Storage`.
    """

    def __init__(
        self, settings: Settings, folder: DataDir, database: Database, announce: Callable[[int], None]
    ) -> None:
        self._settings = settings
        self._database = database
        self._storage = Storage(settings, folder, database, announce)
        self._spool = Spool(folder, settings.dicom.min_free_mib * _MIB)
        self._tries = Tries(settings.workers, settings.priors.retry_days)
        self._throttle = Throttle(settings.priors.series_per_minute)

    def work(self, seconds: float) -> int:
        """Do what is due, patients before days, until the time is up or nothing is left.

        Returns:
            how many patients and days were dealt with.
        """
        until, count = time.monotonic() + seconds, 0
        while time.monotonic() < until and (self._next_patient() or self._next_day()):
            count += 1
        return count

    def fetch_day(self, day: date) -> SearchState:
        """Fetch the chest series of a day that are not here yet; returns what has become of the day."""
        came = self._fetch(lambda there: studies_on(there.find, day), None)
        with self._database.write() as session:
            state = priors.record_day(session, day, came.series, came.failure, self._tries)
        came.log(f"of {day}", state)
        return state

    def _next_patient(self) -> bool:
        with self._database.write() as session:
            wanted = priors.claim_patient(session)
        if wanted is None:
            return False
        if wanted.state is SearchState.RETRIEVED:
            self._have_judged_anew(wanted)
        else:
            self._fetch_patient(wanted)
        return True

    def _next_day(self) -> bool:
        if not priors.is_within(self._settings.priors.hours, datetime.now()):
            return False
        with self._database.write() as session:
            day = priors.claim_day(session)
        if day is None:
            return False
        self.fetch_day(day)
        return True

    def _fetch_patient(self, wanted: Wanted) -> None:
        options, today = self._settings.priors, date.today()
        first = today - timedelta(days=round(options.years * _DAYS_A_YEAR))

        def earlier(there: Pacs) -> list[FoundStudy]:
            found = studies_of(there.find, wanted.patient_id, wanted.issuer, first, today)
            return [study for study in found if study.study_instance_uid not in wanted.known_studies]

        came = self._fetch(earlier, options.studies, wanted.patient_pk)
        with self._database.write() as session:
            state = priors.record_fetched(session, wanted.patient_pk, came.series, came.failure, self._tries)
        came.log(f"of patient {wanted.patient_pk}", state)

    def _have_judged_anew(self, wanted: Wanted) -> None:
        """Once what was fetched is compared, the images that came by themselves are judged with it."""
        with self._database.write() as session:
            is_settled = priors.are_settled(session, wanted.patient_pk)
            if is_settled:
                judge_anew(session, priors.judged_too_soon(session, wanted.patient_pk))
            priors.record_compared(session, wanted.patient_pk, is_settled, self._tries)

    def _fetch(
        self, find: Callable[[Pacs], Sequence[FoundStudy]], most: int | None, patient_pk: int | None = None
    ) -> _Came:
        """Fetch the chest series of the first `most` studies that have any; `patient_pk` is whose they are."""
        came = _Came()
        note = partial(self._note_query, patient_pk)
        try:
            with pacs(self._settings, self._storage, self._spool, note) as there:
                self._fetch_studies(there, find(there), most, came)
        except LungprintError as error:
            came.failure = str(error)
        return came

    def _fetch_studies(self, there: Pacs, studies: Sequence[FoundStudy], most: int | None, came: _Came) -> None:
        used = 0
        for study in studies:
            if most is not None and used >= most:
                break
            if not has_modality(study, self._settings.priors):
                continue
            series = chest_series(there.find, study, self._settings.priors)
            used += bool(series)
            for one in self._missing(series):
                try:
                    self._fetch_series(there, one)
                    came.series += 1
                except RetrieveFailed as error:
                    came.failure = str(error)
                    if not there.is_there:
                        return

    def _note_query(self, patient_pk: int | None, sop_class: UID, identifier: Dataset) -> None:
        content = encode(identifier, is_implicit_vr=False, is_little_endian=True) or b""
        study = str(identifier.get("StudyInstanceUID") or "")[:128]
        with self._database.write() as session:
            note_query(session, self._settings.priors.peer, sop_class, content, study, patient_pk)

    def _missing(self, series: Sequence[FoundSeries]) -> list[FoundSeries]:
        with self._database.read() as session:
            unknown = set(priors.unknown_series(session, [one.series_instance_uid for one in series]))
        return [one for one in series if one.series_instance_uid in unknown]

    def _fetch_series(self, there: Pacs, series: FoundSeries) -> None:
        self._throttle.wait()
        with self._database.write() as session:
            priors.note_asked(session, series.series_instance_uid)
        there.fetch(series)
        with self._database.write() as session:
            priors.note_complete(session, series.series_instance_uid)


@dataclass
class _Came:
    """What came of an attempt: complete series, and why not everything came."""

    series: int = 0
    failure: str = ""

    def log(self, what: str, state: SearchState) -> None:
        """Say it to the administrator."""
        if self.failure:
            logger.warning("Not all earlier images %s came, the search is %s: %s", what, state, self.failure)
        else:
            logger.info("Earlier images %s: %d series came.", what, self.series)
