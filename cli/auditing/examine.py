"""The close look of an audit: an image judged as a new one would be, with the archive's facts about it."""

from __future__ import annotations

import numpy as np
from sqlalchemy.orm import Session

from archive import gallery as stored
from archive.alerts import Finding
from archive.gallery import Images
from config.settings import Settings
from retrieval.audit.gallery import AuditGallery, Rows
from retrieval.audit.screen import Neighbours
from retrieval.errors import AuditImpossible
from retrieval.headers import Headers
from retrieval.verdict import Verdict
from workers.index_owner import Network
from workers.match import ALERTS, Extent, finding_of, weigh


class Examiner:
    """Judges rows of a gallery by `workers.match.weigh` and remembers what there is to say about each.

    Args:
        neighbours: which rows are alike.
        headers: of the persons of the gallery.
    """

    def __init__(
        self,
        session: Session,
        network: Network,
        settings: Settings,
        gallery: AuditGallery,
        neighbours: Neighbours,
        headers: Headers,
    ) -> None:
        self._session = session
        self._network = network
        self._settings = settings
        self._gallery = gallery
        self._neighbours = neighbours
        self._headers = headers
        self._again = gallery.shown_before
        self._findings: dict[int, Finding] = {}

    def persons_alike(self, row: int) -> list[int]:
        """The other persons that the image in a row is compared with, ascending."""
        return self._neighbours.persons(self._gallery, row)

    def judge(self, row: int, left_out: frozenset[int]) -> Verdict:
        """The verdict about the image in a row, without the evidence of other rows.

        Raises:
            AuditImpossible: the image has left the archive since it was read.
        """
        gallery = self._gallery
        probe = stored.load_probe(self._session, int(gallery.instance[row]))
        if probe is None or probe.model_id != self._network.model_id:
            raise AuditImpossible("The archive has changed while it was audited; start the audit again.")
        own = gallery.evidence_for(row, probe.person) if probe.is_labelled else gallery.instance[:0]
        alike = self.persons_alike(row)
        _, others = gallery.evidence_for_each(np.full(len(alike), row), np.array(alike, np.int64))
        found = weigh(
            self._network,
            self._settings,
            probe,
            self._images(own, left_out),
            self._images(others, left_out),
            stored.same_pixels(self._session, probe) if self._again[row] else None,
            gallery.persons - 1,
            gallery.strangers,
            {person: self._headers.log_ratio(probe.person, person) for person in alike},
        )
        self._findings.pop(row, None)
        if found.verdict.kind in ALERTS:
            extent = Extent(len(gallery), gallery.persons)
            self._findings[row] = finding_of(self._session, self._settings, found, extent)
        return found.verdict

    def finding(self, row: int) -> Finding:
        """What the last judgement of a row asks a person to look at."""
        return self._findings[row]

    def _images(self, rows: Rows, left_out: frozenset[int]) -> Images:
        kept = np.array([row for row in rows.tolist() if row not in left_out], np.int64)
        gallery = self._gallery
        return Images(gallery.instance[kept], gallery.person[kept], gallery.embedding[kept], gallery.code[kept])
